"""Pulls of images: images that no registry has, registries that do not answer, and the kubelet's back-off."""

from itertools import pairwise
from typing import Any

import pytest

from fake_vllm.distributions import Constant
from tests.twin.world.conftest import SimulatedCluster
from twin.world.kubelet.images import ImageSettings, missing_image, registry_of, unreachable_registry

MISSING = ("lora-controller", "acme/engine", "localhost:5000/engine")
HUB = "docker.io"


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("lora-controller", "docker.io/library/lora-controller"),
        ("lora-controller:0.1.0", "docker.io/library/lora-controller:0.1.0"),
        ("lora-controller@sha256:0123", "docker.io/library/lora-controller@sha256:0123"),
        ("acme/engine:1", "docker.io/acme/engine:1"),
        ("localhost:5000/engine:1", "localhost:5000/engine:1"),
    ],
)
def test_a_missing_image_is_named_with_its_registry(image: str, full: str) -> None:
    assert f'failed to resolve reference "{full}": pull access denied' in missing_image(image, MISSING)


@pytest.mark.parametrize("image", ["registry.example.com/lora-controller:0.1.0", "engine:1", "vllm/vllm-openai:v0.9.1"])
def test_another_image_is_pulled(image: str) -> None:
    assert missing_image(image, MISSING) == ""
    assert missing_image("lora-controller", ()) == ""


@pytest.mark.parametrize(
    ("image", "host", "url"),
    [
        ("vllm/vllm-openai:v1", "docker.io", "https://registry-1.docker.io/v2/vllm/vllm-openai/manifests/v1"),
        ("ghcr.io/acme/e", "ghcr.io", "https://ghcr.io/v2/acme/e/manifests/latest"),
        ("r.acme.io:5000/e@sha256:01", "r.acme.io:5000", "https://r.acme.io:5000/v2/e/manifests/sha256:01"),
    ],
)
def test_an_unreachable_registry_is_named_with_the_request(image: str, host: str, url: str) -> None:
    assert registry_of(image) == host
    assert f'failed to do request: Head "{url}": dial tcp' in unreachable_registry(image)


def a_cluster(images: ImageSettings) -> tuple[SimulatedCluster, list[tuple[float, str]]]:
    """Return a cluster, and the list of times and reasons for which its engine waits."""
    cluster, seen = SimulatedCluster(nodes=1, startup=5.0, images=images), list[tuple[float, str]]()

    def on_pod(change: Any) -> None:
        for status in (change.object.get("status") or {}).get("containerStatuses") or ():
            reason = status["state"].get("waiting", {}).get("reason", "")
            if not seen or seen[-1][1] != reason:
                seen.append((cluster.env.now, reason))

    cluster.store.subscribe(on_pod, "pods")
    return cluster, seen


def test_a_pull_that_fails_is_repeated_after_10_s_doubling_to_5_minutes() -> None:
    cluster, seen = a_cluster(ImageSettings(Constant(3.0), unreachable={HUB: (0.0, 3000.0)}))
    cluster.deploy(1)
    cluster.run(3000)
    failures = [time for time, reason in seen if reason == "ErrImagePull"]
    first, *gaps = (later - earlier for earlier, later in pairwise(failures))
    assert 30 <= first < 50, "two attempts, without a back-off in between that anyone sees"
    for gap, wait in zip(gaps, [40, 80, 160, 300, 300], strict=False):
        assert wait <= gap < wait + 15
    assert {reason for _, reason in seen} == {"ContainerCreating", "ErrImagePull", "ImagePullBackOff"}


def test_a_pod_starts_once_its_registry_answers() -> None:
    cluster, seen = a_cluster(ImageSettings(Constant(3.0), unreachable={HUB: (0.0, 60.0)}))
    cluster.deploy(1)
    cluster.run(200)
    assert cluster.pod()["status"]["phase"] == "Running"
    (started,) = cluster.events("started")
    assert 60 <= started < 60 + 40 + 15 + 3 + 5
    assert seen[-1][1] == ""


def test_an_image_is_pulled_once_a_node() -> None:
    cluster, _ = a_cluster(ImageSettings(Constant(30.0), unreachable={HUB: (60.0, 1000.0)}))
    cluster.deploy(1)
    cluster.run(60)
    assert 30 < cluster.events("started")[0] < 45
    cluster.store.delete("pods", "default", cluster.name().split("/")[1], grace_period=0)
    cluster.run(120)
    assert 60 < cluster.events("started")[1] < 75, "the image is on the node, and the policy does not ask the registry"


def test_the_policy_always_needs_the_registry_for_an_image_on_the_node() -> None:
    cluster, seen = a_cluster(ImageSettings(unreachable={HUB: (0.0, 1000.0)}))
    cluster.deploy(1, container={"image": "vllm/vllm-openai:latest", "imagePullPolicy": "Always"})
    cluster.run(20)
    assert "ErrImagePull" in [reason for _, reason in seen]
