"""Turns a scenario into the settings of the operator, of the simulated cluster, and of the record."""

from datetime import datetime
from importlib.metadata import version
from typing import Any

from controller.backoff import Backoff
from controller.rebalance.planner import NONE
from controller.settings import LeaseSettings, RebalanceSettings, Settings
from fake_vllm.cli.artifacts import adapter_config
from fake_vllm.engine.lora import Artifact
from formats.timestamps import format_time
from twin.scenario import Scenario
from twin.scenario.manifests.pod_templates import WITH_PODS, pod_templates
from twin.scenario.sections.artifacts import ArtifactFile, Artifacts
from twin.scenario.sections.cluster import Cluster
from twin.scenario.sections.policies import plug_ins
from twin.trace.lines import Run
from twin.world.cluster import WorldSettings
from twin.world.kubelet.images import ImageSettings
from twin.world.kubelet.lifecycle import ContainerRun, ContainerRuns
from twin.world.network.engine_host import EngineSettings
from twin.world.nodes.nodes import NodeSpec
from twin.world.registry import ArtifactSettings
from twin.world.scheduling.scheduler import gpus_of

_NOTICE = 2.0
"""Seconds in which a correct controller notices a change in the API server, without latency (part of the contract)."""

_REQUESTS = 10
"""Requests of a reaction that may wait for the operator's own rate limit, if it has one."""


def controller_settings(scenario: Scenario) -> Settings:
    """Return the operator's settings from the scenario's section of the same names."""
    controller = scenario.controller
    retry, lease = controller.retry, controller.lease
    return Settings(
        policy=controller.policy,
        policies=_plug_ins(scenario),
        scrape_interval=controller.scrape_interval,
        autoscaling_budget=controller.autoscaling_budget,
        rebalance=RebalanceSettings(**dict(controller.rebalance)),
        backoff=Backoff(
            base=retry.base, factor=retry.factor, cap=retry.cap, retries=retry.retries, jitter=retry.jitter
        ),
        retry_switch=retry.switch,
        stable_for=controller.stable_for,
        unready_grace=controller.unready_grace,
        pod_cooldown=controller.pod_cooldown,
        max_concurrent_reconciles=controller.max_concurrent_reconciles,
        max_requests_per_pod=controller.max_requests_per_pod,
        audit_interval=controller.audit_interval,
        list_timeout=controller.list_timeout,
        load_timeout=controller.load_timeout,
        enable_runtime_sidecar=controller.enable_runtime_sidecar,
        elect=controller.replicas > 1,
        lease=LeaseSettings(duration=lease.duration, renew=lease.renew, retry=lease.retry),
    )


def _plug_ins(scenario: Scenario) -> tuple[str, ...]:
    """Return the policies that the scenario's adapters name as `module:Class`; the file's author is trusted here."""
    specs = [item["spec"] for item in scenario.objects if item["kind"] == "ModelAdapter"]
    specs += [template.manifest(0)["spec"] for template in scenario.adapters]
    return tuple(sorted({*scenario.controller.policies, *plug_ins(specs)}))


def world_settings(scenario: Scenario) -> WorldSettings:
    """Return the simulated cluster's settings."""
    cluster = scenario.cluster
    return WorldSettings(
        nodes=[NodeSpec(node.name, node.gpus, node.zone) for node in scenario.nodes],
        engines={
            name: EngineSettings(
                startup=engine.startup,
                load=engine.load,
                unload=engine.unload,
                lora_budget=None if engine.memory.lora_budget is None else int(engine.memory.lora_budget),
                version=engine.version,
                timing=engine.timing.settings(),
            )
            for name in ("default", *(item["metadata"]["name"] for item in _workloads(scenario)))
            for engine in (cluster.engine(name),)
        },
        artifacts=_artifact_settings(cluster.artifacts),
        pod_start=cluster.pod_start,
        runs=ContainerRuns(
            {name: ContainerRun(container.runs, container.exit_code) for name, container in cluster.containers.items()}
        ),
        images=_image_settings(cluster, scenario.duration),
        ip_families=cluster.ip_families,
    )


def _image_settings(cluster: Cluster, duration: float) -> ImageSettings:
    windows = {
        host: (window.start, duration if window.until is None else window.until)
        for host, window in cluster.images.unreachable.items()
    }
    return ImageSettings(cluster.images.pull, cluster.missing_images or (), windows)


def _artifact_settings(artifacts: Artifacts) -> ArtifactSettings:
    size, files = artifacts.size, artifacts.files
    return ArtifactSettings(
        bandwidth=artifacts.bandwidth,
        size=int(size.default),
        per_rank=None if size.per_rank is None else int(size.per_rank),
        files=None if files is None else {path: _artifact(file, size.default) for path, file in files.items()},
    )


def _artifact(file: ArtifactFile, size: float) -> Artifact:
    return Artifact(
        rank=file.rank,
        size=int(size if file.size is None else file.size),
        broken=file.broken or None,
        config=adapter_config(file.rank, file.config) if file.config else None,
    )


def _workloads(scenario: Scenario) -> list[dict[str, Any]]:
    return [item for item in scenario.objects if item["kind"] in ("Pod", *WITH_PODS)]


def run_header(scenario: Scenario, epoch: datetime, overhead: float) -> Run:
    """Return the first line of the record.

    `overhead` is the time in seconds that real sockets and processes may add.
    """
    controller = scenario.controller
    latency = scenario.cluster.api.latency.upper() + overhead
    queue = controller.max_concurrent_reconciles / controller.kube_api_qps if controller.kube_api_qps else 0.0
    return Run(
        t=0.0,
        name=scenario.name,
        seed=scenario.seed,
        version=version("lora-twin"),
        duration=scenario.duration,
        epoch=format_time(epoch),
        policy=controller.policy,
        replicas=controller.replicas,
        stable_for=controller.stable_for,
        retry_waits=list(controller.retry.waits()),
        pod_cooldown=controller.pod_cooldown,
        audit_interval=controller.audit_interval,
        notice=_NOTICE + latency + _REQUESTS * queue,
        max_requests_per_pod=controller.max_requests_per_pod,
        load_timeout=controller.load_timeout,
        pod_start=max((_pod_start(scenario, item) for item in _workloads(scenario)), default=0.0),
        unready_grace=controller.unready_grace,
        list_timeout=controller.list_timeout,
        api_request=latency + queue,
        rebalance=controller.rebalance.algorithm != NONE,
        gpus=gpus_by_workload(scenario),
        activator_timeout=controller.activator_timeout,
        notes=list(scenario.notes),
    )


def gpus_by_workload(scenario: Scenario) -> dict[str, int]:
    """Return the GPU request of a pod, by the name of its Deployment or of the pod itself; those without have none."""
    gpus = {}
    for item in scenario.objects:
        for template in pod_templates(item)[:1]:  # the leader of a group, whose workers run no engine
            if count := gpus_of({"spec": template.spec}):
                gpus[item["metadata"]["name"]] = count
    return gpus


def _pod_start(scenario: Scenario, workload: dict[str, Any]) -> float:
    """Return the seconds that a pod of this workload may take from its creation until it is ready and stable."""
    engine = scenario.cluster.engine(workload["metadata"]["name"])
    probes = max((_probe_time(template.spec) for template in pod_templates(workload)), default=0.0)
    start = scenario.cluster.pod_start.upper() + engine.startup.upper()
    return float(start + probes + scenario.controller.stable_for)


def _probe_time(pod: dict[str, Any]) -> float:
    """Return the seconds that the probes of a pod may take to pass."""
    return sum(
        float(
            probe.get("initialDelaySeconds", 0) + 2 * probe.get("periodSeconds", 10) * probe.get("successThreshold", 1)
        )
        for container in pod["containers"]
        for probe in (container.get("startupProbe"), container.get("readinessProbe"))
        if probe
    )
