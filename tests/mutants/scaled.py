"""Small simulations of replicas that follow the demand; not a test."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.mutants.judging import run_world, status_lines
from tests.twin.worlds import adapters
from twin.trace.lines import Line

_SPEC = {"min": 1, "max": 3, "target": {"concurrency": 4}, "scaleDown": {"stabilizationWindowSeconds": 60}}
_CROWD = {"adapter": "a-0", "rate": "3/s", "from": "60s", "until": "130s"}
_TRAFFIC = {"rate": "6/min", "from": "40s", "output_tokens": 600}

CROWDED: dict[str, Any] = {
    "adapters": [adapters(1, replicas=None, arrive={"at": "30s"}, spec={"autoscaling": _SPEC})],
    "controller": {"scrape_interval": "5s"},
    "traffic": _TRAFFIC | {"crowds": [_CROWD]},
}
"""Sections of a world whose adapter has a crowd of users for a minute."""


def _world(folder: Path, *crowds: dict[str, Any], scaling: dict[str, Any] | None = None, **sections: Any) -> list[Line]:
    """Run an adapter whose replicas follow the demand, and return the record.

    Raises:
        AssertionError: an invariant is violated.
    """
    template = adapters(1, replicas=None, arrive={"at": "30s"}, spec={"autoscaling": scaling or _SPEC})
    world: dict[str, Any] = {
        "duration": "4m",
        "controller": {"scrape_interval": "5s"},
        "adapters": [template],
        "traffic": _TRAFFIC | {"crowds": list(crowds)},
    }
    lines, wrong = run_world(folder, **world | sections)
    assert not wrong, wrong
    return lines


def sizes(lines: list[Line], adapter: str = "default/a-0") -> list[int]:
    """Return each number of replicas in the spec, in order."""
    wanted = [line.wanted for line in status_lines(lines, adapter) if line.wanted is not None]
    return [number for number, _ in groupby(wanted)]


def _judged(number: list[int], expected: list[int]) -> str:
    return "" if number == expected else f"its replicas were {number}, not {expected}"


def _crowd(folder: Path) -> str:
    """A crowd comes and goes."""
    return _judged(sizes(_world(folder, _CROWD)), [1, 3, 2, 1])


def _gap(folder: Path) -> str:
    """Metrics are missing for a while in which the crowd goes: nothing is taken away until they cover the window."""
    silent = {"kind": "metrics-wrong", "value": "NaN", "from": "120s", "until": "175s"}
    lines = _world(folder, _CROWD | {"until": "125s"}, faults=[silent], duration="5m")
    down = next((line.t for line in status_lines(lines) if line.wanted == 1 and line.t > 120), 0.0)
    early = f"replicas were taken away at {down:.0f} s, 60 s after metrics came back at 175 s"
    return _judged(sizes(lines), [1, 3, 1]) or (early if not 230 <= down <= 255 else "")


def _cooldown(folder: Path) -> str:
    """A second crowd within the cooldown of the first change has to wait."""
    patient = _SPEC | {"cooldownSeconds": 60, "max": 2}
    lines = _world(folder, _CROWD | {"until": "75s"}, _CROWD | {"from": "150s", "until": "4m"}, scaling=patient)
    changes = [line.t for line in status_lines(lines) if line.wanted == 2]
    return "" if not changes or changes[0] >= 90 else f"its replicas changed at {changes[0]:.0f} s, within its cooldown"


def _budget(folder: Path) -> str:
    """Two adapters with crowds share two further replicas; the one of the higher priority has them."""
    low = adapters(1, replicas=None, arrive={"at": "30s"}, spec={"autoscaling": _SPEC})
    high = adapters(1, replicas=None, arrive={"at": "30s"}, spec={"autoscaling": _SPEC | {"priority": 10}})
    crowds = [_CROWD | {"until": "4m"}, _CROWD | {"adapter": "high-0", "until": "4m"}]
    setting = {"scrape_interval": "5s", "autoscaling_budget": 2}
    pair = [low, high | {"name": "high-{i}"}]
    lines = _world(folder, *crowds, adapters=pair, controller=setting, pods=6)
    return _judged([sizes(lines)[-1], sizes(lines, "default/high-0")[-1]], [1, 3])


def _paused(folder: Path) -> str:
    """Zero replicas pause it, one starts it again; a number above max is corrected."""
    edits = [
        {"at": f"{at}s", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": number}}}
        for at, number in ((60, 0), (90, 1), (110, 9), (180, None))
    ]
    return _judged(sizes(_world(folder, edits=edits, traffic=None)), [1, 0, 1, 9, 3, 1])


def _full(folder: Path) -> str:
    """No engine has room for another replica, and the conditions say so."""
    others = adapters(3, name="other-{i}", replicas=1, arrive={"at": "10s"}, spec={"schedulerName": "spread"})
    lines = _world(folder, _CROWD | {"until": "4m"}, pods=1, **_with(others))
    reasons = {line.conditions.get("ScalingLimited", ("", ""))[1] for line in status_lines(lines)}
    return "" if "NoCapacity" in reasons else f"ScalingLimited has the reasons {sorted(reasons)}"


def _with(template: dict[str, Any]) -> dict[str, Any]:
    own = adapters(1, replicas=None, arrive={"at": "30s"}, spec={"autoscaling": _SPEC})
    return {"adapters": [own, template]}


def _on_demand(folder: Path) -> str:
    """Users ask for an adapter on demand, pause, and ask again; the operator is killed while it loads."""
    users = [
        _CROWD | {"rate": "12/min", "from": f"{start}s", "until": f"{end}s"} for start, end in ((50, 150), (230, 240))
    ]
    template = adapters(1, replicas=1, arrive={"at": "30s"}, spec={"activation": _ON_DEMAND})
    lines = _world(
        folder,
        *users,
        adapters=[template],
        traffic={"rate": "0.0001/s", "output_tokens": 60, "crowds": users},
        controller={"scrape_interval": "10s"},
        faults=[{"kind": "controller-crash", "at": "52s", "restart_after": "5s"}],
        duration="320s",
    )
    phases = [phase for phase, _ in groupby(line.phase for line in status_lines(lines)) if phase in ("Idle", "Running")]
    return "" if phases == [*["Idle", "Running"] * 2, "Idle"] else f"it was {phases}"


_ON_DEMAND = {"mode": "OnDemand", "idleSeconds": 60}

DEMAND_WORLDS: dict[str, Callable[[Path], str]] = {
    "a crowd": _crowd,
    "metrics are missing": _gap,
    "a second crowd": _cooldown,
    "a shared budget": _budget,
    "scaling is paused": _paused,
    "no room to scale": _full,
    "loaded on demand": _on_demand,
}
