"""Sections `cluster` and `controller`: nodes, engines, and the settings of the operator.

With the defaults a scenario of four lines runs. A default from an external source has a comment with that source.
"""

from collections.abc import Mapping
from pathlib import Path as File
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, model_validator

from controller.rebalance.planner import rebalance_problem
from fake_vllm.cli import profile as parameters
from fake_vllm.distributions import LogNormal, Uniform
from fake_vllm.engine.adapters.costs import NO_COSTS, TARGET_MODULES, Architecture, LoraCosts, TargetModule
from fake_vllm.engine.timing import DEFAULT_TIMING, StepTimeModel
from twin.scenario.sections.artifacts import Artifacts
from twin.scenario.sections.base_model import Count, ScenarioModel, Whole
from twin.scenario.sections.distributions import Distribution
from twin.scenario.sections.images import Images
from twin.scenario.sections.policies import PlugIn, Policy
from twin.scenario.units import Duration, PositiveDuration, Size, value_error

NodeName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Zone = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]


class Node(ScenarioModel):
    """One node."""

    name: NodeName
    """Name of the node."""
    gpus: Whole = 8
    """GPUs that pods can request."""
    zone: Zone = ""
    """Value of `topology.kubernetes.io/zone`; no label if empty."""


class NodePool(ScenarioModel):
    """Equal nodes, named node-0, node-1, …"""

    count: Count
    """Number of nodes."""
    gpus: Whole = 8
    """GPUs of each node."""
    zones: tuple[Zone, ...] = ()
    """Zones, assigned to the nodes in turn."""

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes."""
        zones = self.zones or ("",)
        return tuple(Node(name=f"node-{i}", gpus=self.gpus, zone=zones[i % len(zones)]) for i in range(self.count))


def _each_once(families: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(families)) < len(families):
        raise value_error("each family can be named once", "allowed: [IPv4], [IPv6], [IPv4, IPv6] or [IPv6, IPv4]")
    return families


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
    """Memory of an engine."""

    lora_budget: Size | None = None
    """Memory for adapters; a load beyond it fails with "out of memory". No limit if absent."""


class LoraTiming(ScenarioModel):
    """Additional time for adapters; see `fake_vllm/engine/adapters/costs.py`."""

    step_base: Duration = 0.0
    """Additional time of a step with at least one adapter in the batch."""
    per_adapter: Duration = 0.0
    """Additional time for each further adapter in the batch."""
    per_sequence: Duration = 0.0
    """Additional time for each sequence with an adapter."""
    per_prefill_token: Duration = 0.0
    """Additional time for each prefill token with an adapter."""
    rank: Annotated[int, Field(strict=True, ge=1)] = NO_COSTS.rank
    """`--max-lora-rank` of the server on which these times were measured."""
    rank_share: float = Field(default=NO_COSTS.rank_share, ge=0, le=1, allow_inf_nan=False)
    """Share of `per_sequence` and `per_prefill_token` that is proportional to `--max-lora-rank`."""
    cpu_to_gpu: Duration = 0.0
    """Time to copy an adapter from host memory into a GPU slot."""
    disk_to_cpu: Duration | None = None
    """Time to read an evicted adapter from disk; that of a load if absent."""


class ModelArchitecture(ScenarioModel):
    """Dimensions of a model, as in its `config.json`."""

    num_hidden_layers: Count
    """Number of layers."""
    hidden_size: Count
    """Size of a hidden state."""
    intermediate_size: Count
    """Size of the MLP."""
    num_attention_heads: Count
    """Number of query heads."""
    num_key_value_heads: Count
    """Number of key-value heads."""
    head_dim: Count
    """Size of a head."""
    target_modules: tuple[TargetModule, ...] = TARGET_MODULES
    """Modules with LoRA slots."""

    @model_validator(mode="after")
    def _is_possible(self) -> "ModelArchitecture":
        if self.num_key_value_heads > self.num_attention_heads:
            raise value_error("is more than num_attention_heads", "allowed: at most that", ("num_key_value_heads",))
        return self


class EngineTiming(ScenarioModel):
    """Speed of an engine; see `fake_vllm/engine/timing.py`. The traffic defines the lengths of responses."""

    step_base: Duration = DEFAULT_TIMING.step_base
    """Time of a step with one sequence in the batch, which is the time between two tokens."""
    per_sequence: Duration = DEFAULT_TIMING.per_sequence
    """Additional time for each further sequence."""
    per_prefill_token: Duration = DEFAULT_TIMING.per_prefill_token
    """Additional time for each prefill token of the step."""
    per_request: Duration | None = None
    """Time of the API server for a request that no other request can use."""
    request_latency: Duration | None = None
    """Time of the API server for a request that passes for all requests side by side."""
    kv_tokens: Annotated[int, Field(strict=True, ge=1)] = DEFAULT_TIMING.kv_tokens
    """Capacity of the KV cache, in tokens."""
    batched_tokens: Annotated[int, Field(strict=True, ge=1)] = DEFAULT_TIMING.batched_tokens
    """Maximum number of tokens in one step."""
    loading_slowdown: float = Field(default=DEFAULT_TIMING.loading_slowdown, ge=1, le=1000, allow_inf_nan=False)
    """Multiplier of a step's time while an adapter is being loaded."""
    spread: float = Field(default=DEFAULT_TIMING.spread, ge=1, le=1000, allow_inf_nan=False)
    """95th percentile of a step's time divided by its median; 1 means no variation."""

    lora: LoraTiming | None = None
    """Additional time for adapters; none if absent."""
    architecture: ModelArchitecture | None = None
    """Dimensions of the model: LoRA slots reduce `kv_tokens`. If absent, they take no memory."""

    @model_validator(mode="after")
    def _takes_time(self) -> "EngineTiming":
        if not self.step_base + self.per_sequence:
            raise value_error(
                "step_base and per_sequence are both 0", "allowed: a step that takes some time", ("step_base",)
            )
        return self

    def settings(self) -> StepTimeModel:
        """Return the timing in the form that the engine uses."""
        values = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        if self.lora is not None:
            values["lora"] = LoraCosts(**dict(self.lora))
        if self.architecture is not None:
            values["architecture"] = Architecture(**self.architecture.model_dump(exclude_none=True))
        return StepTimeModel(**values)


_FROM_FILE = ("startup", "load", "unload", "timing")


class Engine(ScenarioModel):
    """Engines of one workload. Fields that are not set are taken from `default`."""

    parameters: str | None = None
    """Profile written by `twin calibrate`, relative to the scenario; fields set here take precedence."""
    startup: Distribution = LogNormal(30.0, 60.0)  # tens of seconds to minutes: weights are read, graphs captured
    """Time from the container's start until it listens."""
    load: Distribution = LogNormal(1.8, 6.0)
    """Time to load an adapter whose artifact is on the pod."""
    unload: Distribution = LogNormal(0.05, 0.2)
    """Time to unload an adapter."""
    memory: Memory = Memory()
    """Memory for adapters."""
    version: str = Field(default="", pattern=r"^(\d+\.\d+(\.\d+)?)?$")
    """vLLM version; if empty, the version in the image's tag."""
    timing: EngineTiming = EngineTiming()
    """Speed of computation."""

    @model_validator(mode="before")
    @classmethod
    def _with_file(cls, value: Any, info: ValidationInfo) -> Any:
        """Replace `parameters` by the contents of the file, so that a resolved scenario needs no other file."""
        if not isinstance(value, Mapping) or value.get("parameters") is None:
            return value
        profile = _times(value["parameters"], File((info.context or {}).get("folder", ".")))
        own = {key: item for key, item in value.items() if key != "parameters"}
        if isinstance(own.get("timing"), Mapping):
            own["timing"] = {**profile.get("timing", {}), **own["timing"]}
        return {**profile, **own}


def _times(name: Any, folder: File) -> dict[str, Any]:
    """Return the fields of a profile that an engine has."""
    at, allowed = ("parameters",), "allowed: a file as `twin calibrate` writes it, see docs/calibrate.md"
    if not isinstance(name, str):
        raise value_error("is not a file name", allowed, at)
    try:
        document = parameters.document(str(folder / name))
        parameters.parse_profile(document, name)
    except parameters.ProfileError as error:
        raise value_error(str(error).replace(str(folder / name), name), allowed, at) from None
    fields = {key: document[key] for key in _FROM_FILE if document.get(key) is not None}
    if "timing" in fields:
        fields["timing"] = {key: item for key, item in fields["timing"].items() if key != "answer"}
    return fields


class Api(ScenarioModel):
    """The Kubernetes API server."""

    latency: Distribution = Uniform(0.002, 0.008)
    """Round-trip time of a request."""


class ContainerEnd(ScenarioModel):
    """A container that ends by itself: an init container, a Job's, or one that crashes again and again."""

    runs: Distribution
    """Time from its start to its end."""
    exit_code: Annotated[int, Field(strict=True, ge=0, le=255)] = 0
    """Exit code; after another than 0 it is restarted as its restart policy says."""


class Cluster(ScenarioModel):
    """Nodes, engines and latencies of the cluster."""

    nodes: Nodes | None = None
    """Nodes: `{count, gpus, zones}` or a list. If absent, enough nodes with 8 GPUs for the pods in the manifests."""
    engines: dict[str, Engine] = {}
    """Engines by name of the workload (or bare Pod); `default` for all others."""
    containers: dict[str, ContainerEnd] = {}
    """Containers that end by themselves, by name. Init containers run 1 to 3 s if absent, containers of Jobs 5 to 15 s;
    others run until they are stopped. An engine's container cannot be named."""
    artifacts: Artifacts = Artifacts()
    """Registry that adapters are downloaded from."""
    api: Api = Api()
    """API server."""
    missing_secrets: Literal["stand-in", "absent"] = "stand-in"
    """Secrets and ConfigMaps that pods and adapters name and the manifests lack: made up, or missing in the run too."""
    missing_images: tuple[str, ...] | None = None
    """Images that no registry has, as in manifests but without tag; their pods wait with `ErrImagePull` and
    `ImagePullBackOff`."""
    images: Images = Images()
    """Pulls of images, and registries that cannot be reached for a time."""
    pod_start: Distribution = LogNormal(2.0, 6.0)
    """Time from scheduling a pod until its containers start: sandbox, volumes, image."""
    ip_families: Annotated[tuple[Literal["IPv4", "IPv6"], ...], Field(min_length=1), AfterValidator(_each_once)] = (
        "IPv4",
    )
    """Address families of pods, the primary one first: IPv4, IPv6, or both of them (dual-stack)."""

    def engine(self, workload: str) -> Engine:
        """Return the settings for the engines of a workload or bare Pod."""
        return self.engines.get(workload) or self.engines.get("default") or Engine()


class Retry(ScenarioModel):
    """Retries of a failed load on the same pod: the delay is base · factor^n, at most `cap`."""

    retries: Whole = 5
    """Retries after the first attempt; then another pod is chosen."""
    base: PositiveDuration = 5.0
    """Delay before the first retry."""
    factor: float = Field(default=2.0, strict=True, ge=1, le=100, allow_inf_nan=False)
    """Multiplier for each further delay."""
    cap: PositiveDuration = 300.0
    """Maximum delay."""
    jitter: float = Field(default=0.0, strict=True, ge=0, le=1, allow_inf_nan=False)
    """Random addition to a delay, as a share of it."""
    switch: Literal["exhausted", "eager"] = "exhausted"
    """When another pod is chosen: after the last retry, or as soon as one without recent errors is available."""

    @model_validator(mode="after")
    def _ordered(self) -> "Retry":
        if self.cap < self.base:
            raise value_error("the cap is below the base", "allowed: a cap of at least the base", ("cap",))
        return self

    def waits(self) -> tuple[float, ...]:
        """Return the delays, in seconds, before the second attempt, the third, and so on."""
        return tuple(min(self.base * self.factor**n, self.cap) for n in range(self.retries))


class LeaseTimes(ScenarioModel):
    """Leader election, with client-go's defaults."""

    duration: PositiveDuration = 15.0
    """Duration of the lease unless it is renewed."""
    renew: PositiveDuration = 10.0
    """Renew deadline: the leader stops if it could not renew for this time."""
    retry: PositiveDuration = 2.0
    """Retry period for acquiring or renewing the lease."""

    @model_validator(mode="after")
    def _ordered(self) -> "LeaseTimes":
        if not self.retry < self.renew < self.duration:
            raise value_error("the times are out of order", "allowed: retry < renew < duration", ("renew",))
        return self


class Rebalancing(ScenarioModel):
    """Moves of replicas from full pods to empty ones."""

    algorithm: Literal["none", "greedy", "min-cost-flow"] = "none"
    """Algorithm that plans the moves."""
    by: Literal["adapters", "requests"] = "adapters"
    """Load that is made even: the number of adapters, or the requests in flight by engines' metrics."""
    tolerance: float = Field(default=0.1, strict=True, ge=0, le=1, allow_inf_nan=False)
    """Share of the even load by which a pod may differ from it."""
    interval: PositiveDuration = 30.0
    """Interval between plans while there is nothing to move."""
    max_concurrent: Count = 2
    """Moves under way at once."""
    max_per_minute: Count = 10
    """Moves begun within a minute."""

    @model_validator(mode="after")
    def _fits(self) -> "Rebalancing":
        if problem := rebalance_problem(self.algorithm, self.by):
            raise value_error(problem, "allowed: by adapters, or another algorithm", ("by",))
        return self


class Controller(ScenarioModel):
    """Settings of the operator, by the names of its flags."""

    kube_api_qps: float = Field(default=0.0, strict=True, ge=0, le=100_000, allow_inf_nan=False)
    """Sustained requests per second to the API server; 0 means no limit, as by default."""
    kube_api_burst: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 200
    """Burst of requests to the API server."""

    replicas: Annotated[int, Field(strict=True, ge=1, le=9)] = 1
    """Controller replicas; one of them is the leader."""
    policy: Policy = "least-adapters"
    """Placement policy for adapters with `schedulerName: default`; see `twin policies`."""
    policies: tuple[PlugIn, ...] = ()
    """Additional policies for `schedulerName`, as `module:Class`; modules beside this file are found."""
    retry: Retry = Retry()
    """Retries of failed loads."""
    stable_for: Duration = 5.0
    """Time for which a pod has to be ready before it is a candidate."""
    unready_grace: Duration = 0.0
    """Time for which an adapter stays on a pod that is no longer ready."""
    enable_runtime_sidecar: bool = Field(default=True, strict=True)
    """Use the runtime sidecar of pods that have one."""
    pod_cooldown: Duration = 300.0
    """Time for which a pod is not chosen again after its last retry."""
    max_concurrent_reconciles: Count = 16
    """Concurrent reconciliations."""
    max_requests_per_pod: Count = 2
    """Concurrent requests to one engine."""
    audit_interval: PositiveDuration = 60.0
    """Interval of listing the adapters of each engine."""
    scrape_interval: PositiveDuration = 15.0
    """Interval of reading an engine's metrics, if a policy, autoscaling or an adapter on demand needs them."""
    autoscaling_budget: Whole = 0
    """Replicas above their minimum that all adapters with autoscaling may have in total; 0 sets no limit."""
    activator_timeout: PositiveDuration = 60.0
    """Time for which the activator holds a request for an adapter on demand while it is loaded."""
    rebalance: Rebalancing = Rebalancing()
    """Moves of replicas that are placed."""
    list_timeout: PositiveDuration = 30.0
    """Timeout for listing the adapters of an engine."""
    load_timeout: PositiveDuration = 300.0
    """Timeout of a load, unless the adapter sets `additionalConfig.timeout`."""
    lease: LeaseTimes = LeaseTimes()
    """Leader election."""
