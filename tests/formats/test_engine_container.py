"""Which container of a pod is the engine, whatever its position."""

from itertools import permutations

import pytest

from formats.engine_container import ContainerFacts, engine_container
from formats.errors import FormatError

PROXY = ContainerFacts("istio-proxy", ["proxy", "sidecar"], "docker.io/istio/proxyv2:1.27.0", [15090])
LINKERD = ContainerFacts("linkerd-proxy", [], "cr.l5d.io/linkerd/proxy:edge", [4143, 4191])
SIDECAR = ContainerFacts("aibrix-runtime", ["aibrix_runtime", "--port", "8080"], "aibrix/runtime:v0.4.0", [8080])
SHIPPER = ContainerFacts("logs", ["fluent-bit"], "fluent/fluent-bit:3")
ENGINES = [
    ContainerFacts("main", ["vllm", "serve", "base", "--enable-lora"], "registry.example/serving:7"),
    ContainerFacts("main", ["sh", "-c", "python3 -m vllm.entrypoints.openai.api_server --model base"], "x:1"),
    ContainerFacts("main", ["--model", "base", "--port", "9000"], "vllm/vllm-openai:v0.11.0"),
    ContainerFacts("main", ["python3", "-m", "sglang.launch_server"], "x:1"),
    ContainerFacts("main", ["/start.sh"], "registry.example/serving:7", [], ["nvidia.com/gpu"]),
    ContainerFacts("main", ["/start.sh"], "registry.example/serving:7", [8000]),
]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: " ".join(engine.command[:2]))
def test_the_engine_is_found_in_every_position(engine: ContainerFacts) -> None:
    for containers in permutations([PROXY, LINKERD, SIDECAR, SHIPPER, engine]):
        assert engine_container(containers, {}, {}) == "main"


def test_a_label_names_the_container() -> None:
    labels = {"model.aibrix.ai/engine-container": "logs"}
    assert engine_container([ENGINES[0], SHIPPER], labels, {}) == "logs"


def test_a_label_that_names_no_container_is_refused() -> None:
    with pytest.raises(FormatError, match="no container 'engine'; the pod has main, logs"):
        engine_container([ENGINES[0], SHIPPER], {"model.aibrix.ai/engine-container": "engine"}, {})


def test_without_other_evidence_the_default_container_is_the_engine() -> None:
    plain = ContainerFacts("main", ["/start.sh"], "registry.example/serving:7")
    annotations = {"kubectl.kubernetes.io/default-container": "main"}
    assert engine_container([SHIPPER, plain], {}, annotations) == "main"


def test_the_runtime_sidecar_is_never_the_engine() -> None:
    assert engine_container([SIDECAR], {}, {}) == ""
