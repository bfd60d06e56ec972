"""When another operator is noticed, and what must not be taken for one."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from controller.api.annotations import WRITER, Writer, write_writer
from controller.api.types import ModelAdapter
from controller.cache.other_operators import OtherOperators
from tests.controller.builders import NOW, an_adapter

MINE, OTHER = "lora-controller-a", "lora-controller-b"


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)


def written(by: str, at: float) -> Mapping[str, str]:
    """Return the annotations of an adapter that an operator has written, `at` seconds after this one's start."""
    return {WRITER: write_writer(Writer(by, "team-b", NOW + at))}


def with_annotations(annotations: Mapping[str, str], uid: str = "uid-sql") -> ModelAdapter:
    adapter = an_adapter()
    return replace(adapter, metadata=replace(adapter.metadata, annotations=dict(annotations), uid=uid))


def warnings(*seen: tuple[float, ModelAdapter]) -> list[str]:
    """Return the warnings of an operator that sees an adapter change, by seconds since its start."""
    clock = Clock()
    operators = OtherOperators(MINE, "lora-system", clock)
    texts = []
    for at, adapter in seen:
        clock.time = NOW + at
        texts.append(operators.warning(adapter))
    return texts


def test_another_writer_is_named_with_what_to_do() -> None:
    first, second = warnings((0, with_annotations({})), (60, with_annotations(written(OTHER, 59))))
    assert first == ""
    assert "lora-controller-b with its Lease in namespace team-b" in second
    assert "this one: lora-controller-a in lora-system" in second
    assert "Stop one of them" in second


BOTH = [with_annotations(written(name, at)) for name, at in ((MINE, 30), (OTHER, 59))]


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([(0, with_annotations(written(OTHER, -9))), (60, BOTH[0])], id="this one has taken over"),
        pytest.param([(0, with_annotations({})), (9, with_annotations(written(OTHER, 0)))], id="late write"),
        pytest.param([(60, with_annotations(written(OTHER, 30)))], id="created with a name"),
        pytest.param([(31, BOTH[0]), (60, with_annotations(written(OTHER, -90)))], id="restored from a manifest"),
        pytest.param([(31, BOTH[0]), (60, with_annotations({}))], id="annotation removed"),
        pytest.param([(31, BOTH[0]), (60, with_annotations({WRITER: "me"}))], id="annotation edited"),
        pytest.param([(31, BOTH[0]), (60, with_annotations({**BOTH[0].metadata.annotations, "x": "y"}))], id="edited"),
        pytest.param([(31, BOTH[0]), (60, with_annotations(written(OTHER, 40), uid="new"))], id="created again"),
    ],
)
def test_what_is_no_other_operator_gives_no_warning(seen: list[tuple[float, ModelAdapter]]) -> None:
    assert "".join(warnings(*seen)) == ""


def test_a_lasting_conflict_is_a_warning_every_ten_minutes() -> None:
    seen = [(float(at), with_annotations(written(OTHER if at % 2 else MINE, at))) for at in range(31, 1831)]
    assert sum(bool(text) for text in warnings(*seen)) == 3
