"""When refused writes are tried again, and what ends the wait sooner."""

from datetime import UTC, datetime

import pytest

from controller.cache.refusals import RefusedWrites
from controller.client.interface import ClientError, Forbidden, Invalid
from tests.controller.fake_client import QUIET

QUOTA = Forbidden('services "a" is forbidden: exceeded quota: team', code=403)
POLICY = Forbidden("admission webhook denied the request", code=403)


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)


class Errors(RefusedWrites):
    """Records which adapters are woken."""

    def __init__(self) -> None:
        self.clock, self.woken = Clock(), list[str]()
        super().__init__(self.clock, self.woken.append, QUIET)

    def delay(self, key: str) -> float:
        """Return the seconds until the next write."""
        error = self.get(key)
        assert error is not None
        return round(error.retry_at - self.clock.time, 6)


def test_a_refused_write_is_tried_again_after_thirty_seconds_at_the_latest() -> None:
    errors, delays = Errors(), []
    for _ in range(6):
        errors.record("default/a", QUOTA)
        delays.append(errors.delay("default/a"))
    assert delays == [5, 10, 20, 30, 30, 30]


def test_the_servers_own_delay_counts() -> None:
    errors = Errors()
    errors.record("default/a", Invalid("no", code=422, retry_after=90.0))
    assert errors.delay("default/a") == 90


def test_many_refused_adapters_send_ten_requests_a_second_together() -> None:
    errors = Errors()
    for number in range(1000):
        errors.record(f"default/{number}", QUOTA)
    errors.record("default/0", QUOTA)
    assert errors.delay("default/0") == pytest.approx(99.9)


@pytest.mark.parametrize(
    ("key", "error", "woken"),
    [
        ("default/b", QUOTA, True),
        ("default/b", POLICY, False),
        ("other/b", QUOTA, False),
    ],
)
def test_a_success_wakes_those_refused_for_the_same_reason_in_the_namespace(
    key: str, error: ClientError, woken: bool
) -> None:
    errors = Errors()
    errors.record("default/a", QUOTA)
    errors.record(key, error)
    errors.succeeded("default/a", withdrawal=False)
    assert errors.get("default/a") is None
    assert errors.woken == [key] * woken
    assert (errors.delay(key) <= 0) is woken


def test_a_success_wakes_two_and_each_of_them_two_more() -> None:
    errors = Errors()
    for name in "abcdefgh":
        errors.record(f"default/{name}", QUOTA)
    errors.succeeded("default/a", withdrawal=False)
    assert errors.woken == ["default/b", "default/c"]
    errors.succeeded("default/b", withdrawal=False)
    assert errors.woken == ["default/b", "default/c", "default/d", "default/e"]


def test_the_success_of_one_that_was_not_refused_wakes_none() -> None:
    errors = Errors()
    errors.record("default/a", QUOTA)
    errors.succeeded("default/b", withdrawal=False)
    assert errors.woken == []


def test_a_withdrawal_ends_only_the_refusal_of_a_withdrawal() -> None:
    errors = Errors()
    errors.record("default/a", QUOTA)
    errors.succeeded("default/a", withdrawal=True)
    assert errors.get("default/a") is not None
    errors.record("default/a", POLICY, withdrawal=True)
    errors.succeeded("default/a", withdrawal=True)
    assert errors.get("default/a") is None


def test_an_adapter_that_is_gone_wakes_none() -> None:
    errors = Errors()
    errors.record("default/a", QUOTA)
    errors.record("default/b", QUOTA)
    errors.forget("default/a")
    assert (errors.get("default/a"), errors.woken) == (None, [])
