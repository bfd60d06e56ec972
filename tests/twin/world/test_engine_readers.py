"""The operator, the simulated world and the fake engine read the same values from the same container."""

from typing import Any

import pytest

from controller.api.types import PODS
from controller.cache.pod_view import pod_view
from fake_vllm.cli import command_line, options
from formats.engine_command import read_engine_args
from twin.world.kubelet.pod_spec import command_of, environment

CONTAINERS = [
    {"command": ["vllm", "serve", "m"], "args": ["--enable-lora", "--max-loras", "2", "--max-cpu-loras=4"]},
    {"command": ["/bin/sh", "-c"], "args": ["vllm serve m --enable-lora --max-loras 2 --max_cpu_loras 4"]},
    {
        "command": ["sh", "-c"],
        "args": ["PATH=$PATH:/x python3 -m vllm.entrypoints.openai.api_server --model m --max-loras 2 --max-cpu-l 4"],
    },
    {
        "command": ["bash", "-lc", "exec vllm serve $(MODEL) $VLLM_ARGS --port $PORT"],
        "env": [
            {"name": "MODEL", "value": "m"},
            {"name": "PORT", "value": "9000"},
            {"name": "SLOTS", "value": "2"},
            {"name": "VLLM_ARGS", "value": "--max-loras $(SLOTS) --max-cpu-loras 4"},
        ],
    },
    {"args": ["--model", "m", "--max-loras", "1", "--max-loras", "2", "--max-cpu-loras", "4", "--port", "9000"]},
]


class Nothing:
    def get(self, resource: str, namespace: str, name: str) -> Any:
        raise KeyError(resource, namespace, name)


@pytest.mark.parametrize("container", CONTAINERS)
def test_all_read_the_same(container: dict[str, Any]) -> None:
    spec = {"name": "engine", **container}
    pod = PODS.decode({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [spec]}, "status": {}})
    env, command = environment(Nothing(), "n", spec), command_of(spec)
    view, args = pod_view(pod, ""), read_engine_args(command, env)
    world, (fake, _) = command_line.read(command, env), options.read(command, env)
    assert world == fake
    assert (view.max_loras, view.max_cpu_loras) == (world.max_loras, world.max_cpu_loras) == (2, 4)
    assert view.port == world.port == (9000 if "9000" in str(container) else 8000)
    assert world.served_model_names == args.served_model_names == ("m",)


def test_a_command_that_the_engine_refuses_counts_as_its_defaults() -> None:
    spec = {"name": "engine", "command": ["vllm", "serve", "m", "--max-loras", "four"]}
    pod = PODS.decode({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [spec]}, "status": {}})
    assert (pod_view(pod, "").max_loras, pod_view(pod, "").port) == (1, 8000)
