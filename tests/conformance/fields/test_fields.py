"""Each field of vLLM's request bodies is handled as the page says: by the schema, by the fake, and by a real server."""

import json
from collections.abc import Callable

import pytest

from fake_vllm.openai.releases import api
from tests.conformance.adapters.artifacts import make_all
from tests.conformance.fields import page
from tests.conformance.fields.classes import ALL
from tests.conformance.fields.field import Fields, RequestClass
from tests.conformance.fields.table import CLASSES
from tests.conformance.fuzz import answers, schema
from tests.conformance.fuzz.bodies import Body
from tests.conformance.fuzz.fake import response_of_fake

NEWEST = schema.FILES.versions()[-1]
FIELDS = [(each, name) for each in ALL for name, handled in each.fields.items() if not handled.until]
Ask = Callable[[RequestClass, Fields], tuple[int, bytes]]
PLAYED = [(each, name) for each, name in FIELDS if each in CLASSES]
IDS = [f"{each.name}.{name}" for each, name in FIELDS]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Return a function that sends a valid body with other fields to a fake of its own each time."""
    loras = tmp_path_factory.mktemp("loras")
    make_all(loras)

    def ask_one(each: RequestClass, fields: Fields) -> tuple[int, bytes]:
        body = Body(each.route, "", json.dumps(each.body(fields)).encode())
        status, _, content = response_of_fake(NEWEST, body, loras)
        return status, content

    return ask_one


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_the_table_has_every_field_of_the_recorded_schemas(each: RequestClass) -> None:
    recorded = [schema.read(version) for version in schema.FILES.versions()]
    assert set(each.fields) == {name for known in recorded for name in known.names(each.name)}
    gone = {name for name, handled in each.fields.items() if handled.until}
    assert gone == set(each.fields) - set(recorded[-1].names(each.name))
    for name in gone:
        assert each.fields[name].until == [known.version for known in recorded if name in known.names(each.name)][-1]


def test_the_page_is_up_to_date() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text()


@pytest.mark.parametrize(("each", "name"), FIELDS, ids=IDS)
def test_the_fake_handles_the_field_as_the_page_says(ask: Ask, each: RequestClass, name: str) -> None:
    handled = each.fields[name]
    status, answer = ask(each, handled.sample)
    plain = ask(each, handled.beside)
    if handled.handling == "refused":
        assert status >= 400
    elif handled.handling == "honoured":
        assert status != 400
        assert (status, answer) != plain
    else:
        assert (status, answer) == plain
        assert status == 200
    if handled.handling == "checked":
        assert ask(each, {**handled.sample, name: handled.wrong})[0] in (400, 404)


@pytest.mark.parametrize(("each", "name"), PLAYED, ids=[f"{each.name}.{name}" for each, name in PLAYED])
def test_a_real_server_takes_and_refuses_the_same(each: RequestClass, name: str) -> None:
    handled = each.fields[name]
    recorded = answers.read(NEWEST).answers[each.route]
    assert (recorded[f"{each.name}.{name}"].status == 400) == (handled.handling == "refused")
    if handled.handling == "checked":
        assert recorded[f"{each.name}.{name}=wrong"].status in (400, 404)


@pytest.mark.parametrize(
    ("releases", "since"),
    [(["1.0", "1.1", "1.2"], ""), (["1.1", "1.2"], "1.1"), (["1.1"], "1.1"), (["1.2"], "1.2")],
)
def test_a_field_is_listed_with_the_first_release_that_has_it(releases: list[str], since: str) -> None:
    known = [
        schema.Schema(version, {}, {"Class": {"properties": {"field": {}} if version in releases else {}}})
        for version in ("1.0", "1.1", "1.2")
    ]
    assert page.first_release(known, "Class", "field") == since


@pytest.mark.parametrize("version", schema.FILES.versions())
def test_the_fake_ignores_fields_that_a_release_does_not_have(version: str) -> None:
    known = schema.read(version)
    for each in [each for each in ALL if known.names(each.name)]:
        fields = [name for name, handled in each.fields.items() if not handled.until]
        ignored = set(fields) - set(api(version).known_fields(dict.fromkeys(fields, 1), each.name))
        assert ignored == set(fields) - set(known.names(each.name))
