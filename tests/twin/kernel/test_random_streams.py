"""Named streams: the values of a stream depend only on the seed and its name."""

from hypothesis import given
from hypothesis import strategies as st

from twin.kernel.random_streams import Streams

names = st.text(min_size=1, max_size=40)


def drawn(streams: Streams, name: str, count: int = 5) -> list[float]:
    return [float(number) for number in streams.get(name).random(count)]


@given(st.integers(0, 2**32), names, names)
def test_a_stream_does_not_depend_on_other_streams(seed: int, name: str, other: str) -> None:
    alone = drawn(Streams(seed), name)
    disturbed = Streams(seed)
    if other != name:
        drawn(disturbed, other, 100)
    assert drawn(disturbed, name) == alone


@given(st.integers(0, 2**32), names)
def test_another_seed_draws_otherwise(seed: int, name: str) -> None:
    assert drawn(Streams(seed), name) != drawn(Streams(seed + 1), name)


def test_a_stream_goes_on_where_it_was() -> None:
    streams = Streams(1)
    assert [*drawn(streams, "a", 2), *drawn(streams, "a", 3)] == drawn(Streams(1), "a", 5)


def test_pythons_generator_of_a_name_is_as_reproducible() -> None:
    assert Streams(7).python("policy").random() == Streams(7).python("policy").random()
    assert Streams(7).python("policy").random() != Streams(8).python("policy").random()
