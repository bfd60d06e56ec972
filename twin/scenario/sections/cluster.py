"""The sections `cluster` and `controller`: the machines, the engines, and the operator's own settings.

Defaults are chosen so that a scenario of four lines runs. Where one comes from outside, its source stands beside it.
"""

from collections.abc import Mapping
from pathlib import Path as File
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, model_validator

from fake_vllm.cli import profile as parameters
from fake_vllm.distributions import LogNormal, Uniform
from fake_vllm.engine.timing import DEFAULT_TIMING, StepTimeModel
from twin.scenario.sections.base_model import Count, ScenarioModel, Whole
from twin.scenario.sections.distributions import Distribution
from twin.scenario.sections.policies import PlugIn, Policy
from twin.scenario.units import Bandwidth, Duration, PositiveDuration, Size, value_error

NodeName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Zone = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]


class Node(ScenarioModel):
    """One machine."""

    name: NodeName
    """Its name in Kubernetes."""
    gpus: Whole = 8
    """GPUs that pods may ask for."""
    zone: Zone = ""
    """Value of `topology.kubernetes.io/zone`; none if empty."""


class NodePool(ScenarioModel):
    """So many equal machines, named node-0, node-1, …"""

    count: Count
    """How many."""
    gpus: Whole = 8
    """GPUs on each."""
    zones: tuple[Zone, ...] = ()
    """Zones, given to the machines in turn."""

    def nodes(self) -> tuple[Node, ...]:
        """The machines themselves."""
        zones = self.zones or ("",)
        return tuple(Node(name=f"node-{i}", gpus=self.gpus, zone=zones[i % len(zones)]) for i in range(self.count))


def _distinct(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    names = [node.name for node in nodes]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise value_error(f'a node "{name}" already exists', "allowed: a unique name", (index, "name"))
    return nodes


def _nodes_form(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "pool"


Nodes = Annotated[
    Annotated[NodePool, Tag("pool")]
    | Annotated[tuple[Node, ...], Field(min_length=1), AfterValidator(_distinct), Tag("list")],
    Discriminator(_nodes_form),
]


class Memory(ScenarioModel):
    """What an engine may hold."""

    lora_budget: Size | None = None
    """Memory for adapters; beyond it a load fails with "out of memory". No limit if absent."""


class EngineTiming(ScenarioModel):
    """How fast an engine computes: see `fake_vllm/engine/timing.py`. Lengths of answers are the traffic's."""

    step_base: Duration = DEFAULT_TIMING.step_base
    """A step with one sequence in the batch, which is the time between two tokens."""
    per_sequence: Duration = DEFAULT_TIMING.per_sequence
    """More for every further sequence."""
    per_prefill_token: Duration = DEFAULT_TIMING.per_prefill_token
    """More for every prompt token that the step reads."""
    kv_tokens: Annotated[int, Field(strict=True, ge=1)] = DEFAULT_TIMING.kv_tokens
    """Tokens for which there is room in the KV cache."""
    batched_tokens: Annotated[int, Field(strict=True, ge=1)] = DEFAULT_TIMING.batched_tokens
    """What one step may compute at most."""
    loading_slowdown: float = Field(default=DEFAULT_TIMING.loading_slowdown, ge=1, le=1000, allow_inf_nan=False)
    """Multiplies a step's time while an adapter is being loaded."""
    spread: float = Field(default=DEFAULT_TIMING.spread, ge=1, le=1000, allow_inf_nan=False)
    """95 % quantile of a step's time over its median; 1 is none."""

    @model_validator(mode="after")
    def _takes_time(self) -> "EngineTiming":
        if not self.step_base + self.per_sequence:
            raise value_error(
                "step_base and per_sequence are both 0", "allowed: a step that takes some time", ("step_base",)
            )
        return self

    def settings(self) -> StepTimeModel:
        """As the engine takes it."""
        return StepTimeModel(**{name: getattr(self, name) for name in type(self).model_fields})


_FROM_FILE = ("startup", "load", "unload", "timing")


class Engine(ScenarioModel):
    """How the engines of one Deployment behave. What its entry leaves out comes from `default`."""

    parameters: str | None = None
    """A file of times as `twin calibrate` writes it, relative to the scenario; what stands beside it goes first."""
    startup: Distribution = LogNormal(30.0, 60.0)  # tens of seconds to minutes: weights are read, graphs captured
    """From the container's start until it listens."""
    load: Distribution = LogNormal(1.8, 6.0)
    """Loading an adapter once its artifact is on the pod."""
    unload: Distribution = LogNormal(0.05, 0.2)
    """Unloading an adapter."""
    memory: Memory = Memory()
    """Memory for adapters."""
    version: str = Field(default="", pattern=r"^(\d+\.\d+(\.\d+)?)?$")
    """vLLM version that it behaves like; if empty, the one that the image's tag names."""
    timing: EngineTiming = EngineTiming()
    """How fast it computes answers."""

    @model_validator(mode="before")
    @classmethod
    def _with_file(cls, value: Any, info: ValidationInfo) -> Any:
        """Puts what the file says in its place: a resolved scenario needs no other file."""
        if not isinstance(value, Mapping) or value.get("parameters") is None:
            return value
        given = _times(value["parameters"], File((info.context or {}).get("folder", ".")))
        own = {key: item for key, item in value.items() if key != "parameters"}
        if isinstance(own.get("timing"), Mapping):
            own["timing"] = {**given.get("timing", {}), **own["timing"]}
        return {**given, **own}


def _times(name: Any, folder: File) -> dict[str, Any]:
    """What a file of times says that an engine here has a word for."""
    at, allowed = ("parameters",), "allowed: a file as `twin calibrate` writes it, see docs/calibrate.md"
    if not isinstance(name, str):
        raise value_error("is not a file name", allowed, at)
    try:
        document = parameters.document(str(folder / name))
        parameters.parse_profile(document, name)
    except parameters.ProfileError as error:
        raise value_error(str(error).replace(str(folder / name), name), allowed, at) from None
    found = {key: document[key] for key in _FROM_FILE if document.get(key) is not None}
    if "timing" in found:
        found["timing"] = {key: item for key, item in found["timing"].items() if key != "answer"}
    return found


class ArtifactSize(ScenarioModel):
    """How large an adapter's files are."""

    default: Size = 80.0 * 2**20  # rank 16 on an 8B model is some 50 to 150 MB
    """Where the adapter gives no rank, or `per_rank` is absent."""
    per_rank: Size | None = None
    """Bytes for each unit of `additionalConfig.rank`."""


class Artifacts(ScenarioModel):
    """Where adapters are downloaded from."""

    bandwidth: Bandwidth = 250e6  # 2Gbit/s
    """From the registry to one pod."""
    size: ArtifactSize = ArtifactSize()
    """How large adapters are."""


class Api(ScenarioModel):
    """The Kubernetes API server."""

    latency: Distribution = Uniform(0.002, 0.008)
    """One request, there and back."""


class Cluster(ScenarioModel):
    """What stands in the cluster and how fast it is."""

    nodes: Nodes | None = None
    """Machines: `{count, gpus, zones}` or a list. If absent, as many with 8 GPUs as the manifests' pods ask for."""
    engines: dict[str, Engine] = {}
    """By name of the Deployment (or bare Pod); `default` for the rest."""
    artifacts: Artifacts = Artifacts()
    """The adapters' registry."""
    api: Api = Api()
    """The API server."""
    pod_start: Distribution = LogNormal(2.0, 6.0)
    """From a pod's place on a node until its containers start: sandbox, volumes, image."""

    def engine(self, workload: str) -> Engine:
        """The settings for the engines of a Deployment or bare Pod."""
        return self.engines.get(workload) or self.engines.get("default") or Engine()


class Retry(ScenarioModel):
    """When a load that failed is tried again on the same pod: the wait is base · factor^n, at most `cap`."""

    retries: Whole = 5
    """Retries after the first attempt, then another pod takes its place."""
    base: PositiveDuration = 5.0
    """Wait before the first retry."""
    factor: float = Field(default=2.0, strict=True, ge=1, le=100, allow_inf_nan=False)
    """Growth of the wait."""
    cap: PositiveDuration = 300.0
    """No single wait is longer."""
    jitter: float = Field(default=0.0, strict=True, ge=0, le=1, allow_inf_nan=False)
    """Share of a wait that is drawn at random on top of it; 0 is none."""

    @model_validator(mode="after")
    def _ordered(self) -> "Retry":
        if self.cap < self.base:
            raise value_error("the cap is below the base", "allowed: a cap of at least the base", ("cap",))
        return self

    def waits(self) -> tuple[float, ...]:
        """Seconds before the second attempt, the third, …"""
        return tuple(min(self.base * self.factor**n, self.cap) for n in range(self.retries))


class LeaseTimes(ScenarioModel):
    """Leader election, by client-go's defaults."""

    duration: PositiveDuration = 15.0
    """How long a lease holds unless it is renewed."""
    renew: PositiveDuration = 10.0
    """The leader gives up if it has not renewed for this long."""
    retry: PositiveDuration = 2.0
    """Between tries to take or renew it."""

    @model_validator(mode="after")
    def _ordered(self) -> "LeaseTimes":
        if not self.retry < self.renew < self.duration:
            raise value_error("the times are out of order", "allowed: retry < renew < duration", ("renew",))
        return self


class Controller(ScenarioModel):
    """The operator's settings, by the operator's names."""

    kube_api_qps: float = Field(default=0.0, strict=True, ge=0, le=100_000, allow_inf_nan=False)
    """Requests a second to the API server, in the long run; 0 is no limit. In a cluster it is 100 unless changed."""
    kube_api_burst: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 200
    """Requests to the API server at once."""

    replicas: Annotated[int, Field(strict=True, ge=1, le=9)] = 1
    """Controller replicas; one leads."""
    policy: Policy = "least-adapters"
    """Where adapters go whose `schedulerName` is `default`: a name from `twin policies`."""
    policies: tuple[PlugIn, ...] = ()
    """Further ones that a `schedulerName` may name, as `module:Class`; modules beside this file are found."""
    retry: Retry = Retry()
    """When a failed load is tried again."""
    stable_for: Duration = 5.0
    """How long a pod has to be ready before it is a candidate."""
    unready_grace: Duration = 0.0
    """How long an adapter waits for a pod that is no longer ready before it is moved."""
    enable_runtime_sidecar: bool = Field(default=True, strict=True)
    """Whether pods that have the runtime sidecar are spoken to through it."""
    pod_cooldown: Duration = 300.0
    """How long a pod stays aside after the last retry."""
    max_concurrent_reconciles: Count = 16
    """Adapters reconciled at once."""
    max_requests_per_pod: Count = 2
    """Requests to one engine at once."""
    audit_interval: PositiveDuration = 60.0
    """Between two looks at what an engine really holds."""
    scrape_interval: PositiveDuration = 15.0
    """Between two readings of an engine's metrics, while a policy in use needs them."""
    list_timeout: PositiveDuration = 30.0
    """For asking an engine what it holds."""
    load_timeout: PositiveDuration = 300.0
    """For a load, unless the adapter's `additionalConfig.timeout` says otherwise."""
    lease: LeaseTimes = LeaseTimes()
    """Leader election."""
