"""Division of a budget."""

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.demand.budget import Claim, divide, max_min

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
CLAIMS = st.dictionaries(
    st.builds("{}/{}".format, st.sampled_from("xyz"), NAMES),
    st.builds(Claim, st.integers(0, 50), st.integers(-1, 1)),
)


def test_a_small_claim_is_met_and_the_rest_is_divided_evenly() -> None:
    assert max_min({"a": 1, "b": 10, "c": 10}, 9) == {"a": 1, "b": 4, "c": 4}


def test_a_namespace_with_many_adapters_gets_no_more_than_one_with_few() -> None:
    claims = {f"crowd/{number}": Claim(4) for number in range(8)} | {"team/one": Claim(8)}
    granted = divide(claims, 16)
    assert granted["team/one"] == 8
    assert [granted[f"crowd/{number}"] for number in range(8)] == [1] * 8


def test_a_higher_priority_comes_first() -> None:
    granted = divide({"x/high": Claim(5, priority=1), "x/low": Claim(5), "y/low": Claim(5)}, 7)
    assert granted == {"x/high": 5, "x/low": 1, "y/low": 1}


@settings(max_examples=30)
@given(CLAIMS, st.integers(0, 100))
def test_no_share_is_larger_than_its_claim_and_nothing_is_left_while_another_waits(
    claims: dict[str, Claim], budget: int
) -> None:
    granted = divide(claims, budget)
    assert set(granted) == set(claims)
    assert all(0 <= granted[key] <= claims[key].replicas for key in claims)
    assert sum(granted.values()) == min(budget, sum(claim.replicas for claim in claims.values()))


@settings(max_examples=30)
@given(st.dictionaries(NAMES, st.integers(0, 50)), st.integers(0, 100))
def test_no_share_is_larger_than_one_that_would_grow(asked: dict[str, int], total: int) -> None:
    shares = max_min(asked, total)
    waiting = [shares[name] for name in asked if shares[name] < asked[name]]
    assert not waiting or max(shares.values()) <= min(waiting) + 1
