"""Images that no registry has: which ones they are, and the kubelet's message."""

import pytest

from twin.world.kubelet.images import pull_error

MISSING = ("lora-controller", "acme/engine", "localhost:5000/engine")


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
    message = pull_error(image, MISSING)
    assert message.startswith(f'Back-off pulling image "{image}": ErrImagePull: ')
    assert f'failed to resolve reference "{full}"' in message


@pytest.mark.parametrize("image", ["registry.example.com/lora-controller:0.1.0", "engine:1", "vllm/vllm-openai:v0.9.1"])
def test_another_image_is_pulled(image: str) -> None:
    assert pull_error(image, MISSING) == ""
    assert pull_error("lora-controller", ()) == ""
