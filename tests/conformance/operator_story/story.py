"""The story: what happens to adapters of two engines, and what a user sees of each adapter after each step.

Two adapters on both engines, more than their caches hold, broken ones of each class, a changed artifact, an engine that
is killed and restarts in place, deletion, and an engine without `--enable-lora`.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

from controller.api.labels import SERVICE_LABEL
from tests.conformance.operator_story.manifests import PLAIN, EngineProgram, Manifest, adapter

Resource = Literal["pods", "modeladapters", "endpointslices", "events"]

ENGINES = ("engine-0", "engine-1")
"""Pods that are there from the start. The first runs in the development mode, so that its prefix cache can be reset."""
GOOD = {"first": "l0", "second": "l1", "third": "l2", "fourth": "l3"}
"""Adapter to the folder that its artifact is; the engines keep two of them in memory."""
CHANGED = ("first", "l4")
BROKEN = {
    "dora": "dora",
    "high-rank": "rank64",
    "other-modules": "modules-unknown",
    "not-json": "config-cut",
    "damaged": "weights-text",
    "missing": "none",
}
"""Adapter to a folder that no engine can load, one of each class."""
FOLDERS = (*GOOD.values(), CHANGED[1], *BROKEN.values())
OTHER = "other"
"""No artifact's weights alone make such an answer."""
PROMPT = [11 + number * 37 % 400 for number in range(300)]
"""Two whole blocks of the prefix cache: a block of the CPU build has 128 tokens."""
ANSWER_TOKENS = 12
_STEADY_SECONDS = 3.0
_PATIENCE_SECONDS = 300.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Load:
    """A load that the operator has sent and that has ended."""

    adapter: str
    pod: str
    loaded: bool


@dataclass(frozen=True, slots=True)
class AdapterState:
    """State of an adapter, as a user sees it.

    Attributes:
        phase: its phase.
        conditions: type to status and reason.
        message: message of the condition `Ready`.
        loads: pod to the numbers of loads that were successful and refused.
        warnings: reasons of Events of the type Warning.
        answers: pod in its EndpointSlices to the folder whose weights answer there.
    """

    phase: str
    conditions: dict[str, str]
    message: str
    loads: dict[str, str]
    warnings: list[str]
    answers: dict[str, str]


State = dict[str, AdapterState]
"""By name of the adapter."""


class Cluster(Protocol):
    """A cluster with two engines and the operator."""

    program: EngineProgram
    loras: str
    """Folder on the pods that has the artifacts."""

    def create(self, resource: Resource, manifest: Manifest) -> None: ...

    def patch(self, resource: Resource, name: str, patch: Manifest) -> None: ...

    def delete(self, resource: Resource, name: str) -> None: ...

    def list(self, resource: Resource) -> list[Manifest]: ...

    def kill_engine(self, pod: str) -> None:
        """Kill the process of a pod's engine, as a node without memory does."""

    def loads(self) -> Sequence[Load]:
        """Return the operator's loads, in the order in which they have ended."""

    async def ask(self, pod: str, model: str) -> str:
        """Return the folder whose weights answer `PROMPT`; `OTHER` if none's do."""


async def play(cluster: Cluster) -> dict[str, State]:
    """Play the story; return the state after each step.

    Raises:
        TimeoutError: if a step does not lead to where it should.
    """
    player = _Player(cluster)
    for name, folder in GOOD.items():
        player.create(name, folder, len(ENGINES))
        await player.step(f"load of the {name}", partial(_serves, name))
    for name, folder in BROKEN.items():
        player.create(name, folder, 1)
        await player.step(f"load of the broken one: {name}", partial(_is_judged, name))
    name, folder = CHANGED
    cluster.patch("modeladapters", name, {"spec": {"artifactURL": f"{cluster.loras}/{folder}"}})
    await player.step("changed artifact", lambda state: all(_loaded(state, name, pod) == 2 for pod in ENGINES))
    counts = {name: _loaded(player.last, name, ENGINES[0]) for name in GOOD}
    cluster.kill_engine(ENGINES[0])
    await player.step(
        "killed engine", lambda state: all(_loaded(state, name, ENGINES[0]) > count for name, count in counts.items())
    )
    for name in (*GOOD, *BROKEN):
        cluster.delete("modeladapters", name)
    await player.step("deletion", lambda state: not state)
    await player.replace_engines()
    player.create("no-lora", "l0", 1, PLAIN)
    await player.step("engine without LoRA", partial(_is_judged, "no-lora"))
    return player.steps


class _Player:
    """Plays steps, and keeps the state after each."""

    def __init__(self, cluster: Cluster) -> None:
        self.steps: dict[str, State] = {}
        self._cluster = cluster

    @property
    def last(self) -> State:
        """The state after the last step."""
        return self.steps[next(reversed(self.steps))]

    def create(self, name: str, folder: str, replicas: int, model: str = "base") -> None:
        artifact = f"{self._cluster.loras}/{folder}"
        self._cluster.create("modeladapters", adapter(name, artifact, replicas, model))

    async def step(self, name: str, reached: Callable[[State], bool]) -> None:
        """Wait until the state is reached and steady; store it with the answers of each published engine."""
        await self._wait(lambda: reached(self._state()))
        before: State = {}
        while (state := self._state()) != before:
            before = state
            await asyncio.sleep(_STEADY_SECONDS)
        self.steps[name] = {name: replace(one, answers=await self._answers(name)) for name, one in state.items()}

    async def replace_engines(self) -> None:
        """Replace both engines by one without LoRA."""
        for pod in ENGINES:
            self._cluster.delete("pods", pod)
        await self._wait(lambda: not self._cluster.list("pods"))
        self._cluster.create("pods", self._cluster.program.pod("engine-2", PLAIN))
        await self._wait(lambda: any(map(is_ready, self._cluster.list("pods"))))

    def _state(self) -> State:
        loads, events = self._cluster.loads(), self._cluster.list("events")
        items = {item["metadata"]["name"]: item for item in self._cluster.list("modeladapters")}
        return {name: self._state_of(items[name], loads, events) for name in sorted(items)}

    def _state_of(self, item: Manifest, loads: Sequence[Load], events: Sequence[Manifest]) -> AdapterState:
        name, status = item["metadata"]["name"], item.get("status", {})
        conditions = {one["type"]: one for one in sorted(status.get("conditions", ()), key=lambda one: one["type"])}
        return AdapterState(
            phase=status.get("phase", ""),
            conditions={
                kind: f"{conditions[kind]['status']} {conditions[kind]['reason']}" for kind in sorted(conditions)
            },
            message=self._masked(conditions["Ready"]["message"]) if "Ready" in conditions else "",
            loads=_counts([load for load in loads if load.adapter == name]),
            warnings=sorted({event["reason"] for event in events if _warns_of(event, item)}),
            answers={},
        )

    async def _answers(self, name: str) -> dict[str, str]:
        pods = {
            endpoint["targetRef"]["name"]
            for item in self._cluster.list("endpointslices")
            if item["metadata"]["labels"].get(SERVICE_LABEL) == name
            for endpoint in item.get("endpoints") or ()
        }
        return {pod: await self._cluster.ask(pod, name) for pod in sorted(pods)}

    def _masked(self, text: str) -> str:
        return re.sub(r"tried again at \S+", "tried again at <time>", text.replace(self._cluster.loras, "<loras>"))

    async def _wait(self, reached: Callable[[], bool]) -> None:
        waited = 0.0
        while not reached():
            if waited > _PATIENCE_SECONDS:
                raise TimeoutError(f"not reached after {_PATIENCE_SECONDS:g} s; last: {self._state()}")
            await asyncio.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod's condition `Ready` is true."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _serves(name: str, state: State) -> bool:
    return name in state and state[name].conditions.get("Ready", "").startswith("True")


def _is_judged(name: str, state: State) -> bool:
    """Return whether an engine has taken the adapter, or the operator has given it up."""
    return name in state and state[name].phase in ("Failed", "Running")


def _loaded(state: State, name: str, pod: str) -> int:
    return int(state[name].loads.get(pod, "0").split()[0])


def _counts(loads: Sequence[Load]) -> dict[str, str]:
    """Return the numbers of loads by pod."""
    pods = sorted({load.pod for load in loads})
    ended = {pod: [load.loaded for load in loads if load.pod == pod] for pod in pods}
    return {pod: f"{results.count(True)} loaded, {results.count(False)} refused" for pod, results in ended.items()}


def _warns_of(event: Mapping[str, Any], item: Manifest) -> bool:
    return bool(event["type"] == "Warning" and event["regarding"].get("uid") == item["metadata"]["uid"])
