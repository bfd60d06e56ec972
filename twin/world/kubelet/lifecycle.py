"""Times in the life of a container: how long it runs if it ends by itself, and how long its `preStop` hook takes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fake_vllm.distributions import Latency, Uniform
from twin.apiserver.meta.objects import Object

_SLEEP = re.compile(r"(?:^|[\s;&|/])sleep\s+(\d+(?:\.\d+)?)(s|m|h)?")
_UNITS = {None: 1.0, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """A run that ends by itself, after `seconds` and with `exit_code`."""

    seconds: Latency
    exit_code: int = 0


INIT_RUN = ContainerRun(Uniform(1.0, 3.0))
"""Run of an init container; it prepares something."""
TASK_RUN = ContainerRun(Uniform(5.0, 15.0))
"""Run of a container in a pod that is not restarted, such as a Job's."""


@dataclass(frozen=True, slots=True)
class ContainerRuns:
    """Runs of containers that end by themselves."""

    named: Mapping[str, ContainerRun] = field(default_factory=lambda: MappingProxyType({}))
    """By container name; the engine is not among them."""

    def of(self, name: str, *, is_init: bool, restart_policy: str) -> ContainerRun | None:
        """Return the run of a container; None if it runs until it is stopped."""
        if name in self.named:
            return self.named[name]
        if is_init:
            return INIT_RUN
        return TASK_RUN if restart_policy != "Always" else None


def pre_stop_seconds(container: Object) -> float:
    """Return how long a container's `preStop` hook takes, in seconds.

    A hook that sleeps (`sleep`, or a command with `sleep N`) takes that time; other commands and requests are assumed
    to return at once.
    """
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    if "sleep" in hook:
        return float((hook["sleep"] or {}).get("seconds", 0))
    command = " ".join(str(word) for word in (hook.get("exec") or {}).get("command") or ())
    return sum(float(number) * _UNITS[unit] for number, unit in _SLEEP.findall(command))
