"""Replica counts during a rollout, without a cluster."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.world.workloads.rollout import ReplicaCounts, Strategy, next_sizes


@pytest.mark.parametrize(
    ("replicas", "rolling", "surge", "unavailable"),
    [
        (4, {}, 1, 1),
        (3, {}, 1, 0),  # of 25 %, surge is rounded up and unavailable down
        (10, {}, 3, 2),
        (10, {"maxSurge": 0, "maxUnavailable": "30%"}, 0, 3),
        (1, {"maxSurge": 0, "maxUnavailable": "10%"}, 0, 1),  # both 0 would never end
        (2, {"maxSurge": 2, "maxUnavailable": 0}, 2, 0),
    ],
)
def test_percentages_are_rounded_as_kubernetes_does(
    replicas: int, rolling: dict[str, int | str], surge: int, unavailable: int
) -> None:
    spec = {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    assert Strategy.of(spec) == Strategy(surge, unavailable)


def test_recreate_waits_until_the_last_old_pod_is_gone() -> None:
    recreate = Strategy.of({"replicas": 3, "strategy": {"type": "Recreate"}})
    assert next_sizes(3, recreate, ReplicaCounts(), (ReplicaCounts(3, 3, 3),)) == (0, (0,))
    assert next_sizes(3, recreate, ReplicaCounts(), (ReplicaCounts(0, 0, 1),)) == (0, (0,))
    assert next_sizes(3, recreate, ReplicaCounts(), (ReplicaCounts(0, 0, 0),)) == (3, (0,))


def test_unready_old_pods_are_deleted_first() -> None:
    new, unhealthy, healthy = ReplicaCounts(2, 2), ReplicaCounts(2, 0), ReplicaCounts(3, 3)
    assert next_sizes(5, Strategy(2, 1), new, (healthy, unhealthy)) == (2, (2, 0))


def test_scaling_down_in_a_rollout_shrinks_the_new_one_too() -> None:
    assert next_sizes(2, Strategy(1, 0), ReplicaCounts(4, 4), ())[0] == 2


@settings(deadline=None)
@given(
    desired=st.integers(1, 12),
    surge=st.integers(0, 4),
    unavailable=st.integers(0, 4),
    order=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_a_rollout_keeps_its_bounds_and_ends(desired: int, surge: int, unavailable: int, order: list[bool]) -> None:
    unavailable = min(desired, unavailable) if surge or unavailable else 1
    strategy = Strategy(surge, unavailable)
    new, old = ReplicaCounts(), ReplicaCounts(desired, desired, desired)
    for gets_ready in [*order, *[True] * 60]:
        sizes = next_sizes(desired, strategy, new, (old,))
        old = replace(old, replicas=sizes[1][0], available=min(old.available, sizes[1][0]))
        new = replace(new, replicas=sizes[0])
        assert new.replicas + old.replicas <= desired + surge
        assert new.available + old.available >= desired - unavailable
        if gets_ready and new.available < new.replicas:
            new = replace(new, available=new.available + 1)
    assert (new.available, old.replicas) == (desired, 0)
