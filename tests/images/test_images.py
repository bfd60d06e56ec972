"""The images, built from their Dockerfiles and run under the rules of the shipped manifests.

Without privileges, with nothing to write on: `make images`, where docker or podman runs. The commands and their lines
are tested elsewhere; here it is what only an image can get wrong.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.controller.sidecar.worlds import an_adapter
from tests.images.containers import DOCKERFILES, ROOT, Container, Containers, built
from tests.ports import free_port
from tests.twin.serve.worlds import SCENARIO, World, a_served_world

Running = AbstractContextManager[Container]
ADAPTERS = "/tmp/aibrix/adapters"
_WEB = ("-m", "http.server", "9000", "--directory", "/web")
MODEL = "Qwen/Qwen2.5-Coder-1.5B-Instruct"
OURS = {
    "fake-vllm": (["fake_vllm"], ["fake-vllm", "vllm"]),
    "lora-controller": (["controller"], ["lora-controller", "lora-runtime"]),
    "lora-twin": (["twin", "controller", "fake_vllm"], ["fake-vllm", "lora-controller", "lora-runtime", "twin"]),
}
HOLDS = """
import json, os, sys
from importlib.util import find_spec
from pathlib import Path
commands = ["twin", "lora-controller", "lora-runtime", "fake-vllm", "vllm", "pip"]
here = Path(sys.prefix)
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "packages": [name for name in ("twin", "controller", "fake_vllm", "pip", "tests") if find_spec(name)],
    "commands": sorted(name for name in commands if (here / "bin" / name).exists()),
    "others'": [str(each) for each in here.rglob("*") if each.name == ".git" or each.lstat().st_mode & 0o6000],
    "uncompiled": [
        str(each) for each in Path(find_spec(sys.argv[1]).origin).parent.rglob("*.py")
        if not list((each.parent / "__pycache__").glob(f"{each.stem}.*.pyc"))
    ],
}))
"""


@pytest.fixture(scope="module")
def containers() -> Containers:
    return built()


def deployed(folder: str) -> tuple[list[str], dict[str, str]]:
    """Command with arguments, and environment, as the manifests of a folder have them."""
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    done = subprocess.run([kubectl, "kustomize", str(ROOT / folder)], capture_output=True, text=True, check=True)
    deployment = next(each for each in YAML(typ="safe").load_all(done.stdout) if each and each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
    return [*container.get("command", []), *container.get("args", [])], environment


def environment_of(settings: Mapping[str, str]) -> list[str]:
    return [f"--env={name}={value}" for name, value in settings.items()]


@pytest.mark.parametrize("image", DOCKERFILES)
def test_an_image_holds_its_own_package_and_commands_and_runs_as_unreachable(
    containers: Containers, image: str
) -> None:
    packages, commands = OURS[image]
    message = containers.run(image, "-c", HOLDS, packages[0], options=["--entrypoint=python"])
    assert message.code == 0, message.err
    expected: dict[str, Any] = {"user": [65532, 65532], "packages": packages, "commands": commands}
    assert json.loads(message.out) == {**expected, "others'": [], "uncompiled": []}


def an_engine(containers: Containers, options: Sequence[str] = ()) -> Running:
    """As `fake_vllm/deploy` starts it."""
    words, environment = deployed("fake_vllm/deploy")
    command, *arguments = words
    more = [f"--entrypoint={command}", *environment_of(environment), *options]
    return containers.running("fake-vllm", *arguments, options=more)


def test_the_fakes_manifest_runs_in_its_image(containers: Containers) -> None:
    with an_engine(containers) as engine:
        engine.ask("http://127.0.0.1:8000/health")
        engine.ask("http://127.0.0.1:8000/v1/load_lora_adapter", {"lora_name": "sql", "lora_path": "acme/sql"})
        completed = engine.ask("http://127.0.0.1:8000/v1/completions", {"model": "sql", "prompt": "SELECT"})
        assert json.loads(completed)["choices"][0]["text"].startswith("[sql]")
        assert engine.stop(grace=30) == 0


def test_the_health_check_passes_where_the_engine_listens_and_not_before(containers: Containers) -> None:
    dockerfile = (ROOT / DOCKERFILES["fake-vllm"]).read_text().replace("\\\n", " ")
    line = next(each for each in dockerfile.splitlines() if each.startswith("HEALTHCHECK"))
    check = json.loads(line.partition("CMD ")[2])
    with containers.running("fake-vllm", MODEL, "--startup", "1h") as engine:
        assert engine.execute(*check).code == 1
    with containers.running("fake-vllm", MODEL) as engine:
        engine.ask("http://127.0.0.1:8000/health")
        assert engine.execute(*check).code == 0


@pytest.mark.parametrize(
    ("command", "port"),
    [
        (f"python3 -m vllm.entrypoints.openai.api_server --model {MODEL}", 8000),
        (f"python3 -m sglang.launch_server --model-path {MODEL}", 30000),
        (f"/bin/sh -c 'exec vllm serve {MODEL}'", 8000),
    ],
)
def test_a_server_is_started_in_the_fakes_image_as_manifests_start_it(
    containers: Containers, command: str, port: int
) -> None:
    program, *arguments = shlex.split(command)
    with containers.running("fake-vllm", *arguments, options=[f"--entrypoint={program}"]) as engine:
        assert MODEL in engine.ask(f"http://127.0.0.1:{port}/v1/models")


@contextmanager
def a_volume(containers: Containers, path: Path) -> Iterator[Path]:
    """A folder that everybody may write to; what containers have left in it only they can remove."""
    path.mkdir(exist_ok=True)
    path.chmod(0o777)
    yield path
    emptying = f"rm -rf {ADAPTERS}/* {ADAPTERS}/.[!.]*"
    containers.run("fake-vllm", "-c", emptying, options=["--entrypoint=sh", f"--volume={path}:{ADAPTERS}"])


def a_sidecar(containers: Containers, engine: Container, folder: Path, options: Sequence[str] = ()) -> Running:
    """In the engine's pod: with its loopback, and its folder."""
    pod = [f"--network=container:{engine.name}", f"--volume={folder}:{ADAPTERS}", "--entrypoint=lora-runtime"]
    return containers.running("lora-controller", "--allow-network=127.0.0.0/8", options=[*pod, *options])


def test_the_sidecar_fetches_for_an_engine_in_the_same_pod(containers: Containers, tmp_path: Path) -> None:
    """Three containers that share loopback, two of them a folder; the third is the store."""
    for name, content in an_adapter().items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o644)
    tmp_path.chmod(0o755)
    with (
        a_volume(containers, tmp_path / "shared") as shared,
        an_engine(containers, [f"--volume={shared}:{ADAPTERS}"]) as engine,
        a_sidecar(containers, engine, shared) as sidecar,
    ):
        served = [f"--network=container:{engine.name}", f"--volume={tmp_path}:/web:ro", "--entrypoint=python"]
        with containers.running("fake-vllm", *_WEB, options=served) as store:
            store.ask("http://127.0.0.1:9000/")
            sidecar.ask("http://127.0.0.1:8080/ready")
            body = {"lora_name": "sql", "artifact_url": "http://127.0.0.1:9000/"}
            loaded = json.loads(sidecar.ask("http://127.0.0.1:8080/v1/lora_adapter/load", body))
            assert loaded["status"] == "success"
            assert loaded["local_path"].startswith(f"{ADAPTERS}/")
            assert '"sql"' in engine.ask("http://127.0.0.1:8000/v1/models")
            assert sidecar.stop(grace=30) == 0


def test_the_sidecar_has_the_client_of_every_store_and_needs_no_disk_for_it(
    containers: Containers, tmp_path: Path
) -> None:
    """None of these endpoints exists: the test is that the client tries to connect."""
    unreachable = "http://127.0.0.1:9"
    aws = {"aws_access_key_id": "A", "aws_secret_access_key": "b", "endpoint": unreachable}
    tos = {"TOS_ACCESS_KEY": "A", "TOS_SECRET_KEY": "b", "endpoint": unreachable}
    requests: dict[str, dict[str, str]] = {"s3://bucket/sql/": aws, "tos://bucket/sql/": tos}
    requests |= {url: {} for url in ("gs://bucket/sql/", "hf://acme/sql")}
    elsewhere = environment_of({"HF_ENDPOINT": unreachable, "STORAGE_EMULATOR_HOST": unreachable})
    with (
        a_volume(containers, tmp_path / "shared") as shared,
        an_engine(containers) as engine,
        a_sidecar(containers, engine, shared, elsewhere) as sidecar,
    ):
        for url, credentials in requests.items():
            body = {"lora_name": "sql", "artifact_url": url, "credentials": credentials}
            answer = sidecar.ask("http://127.0.0.1:8080/v1/lora_adapter/load", body)
            assert json.loads(answer)["error"]["code"] == "store_unavailable", answer


ADAPTER = """
apiVersion: model.aibrix.ai/v1alpha1
kind: ModelAdapter
metadata: {name: sql}
spec:
  baseModel: qwen-coder-1-5b-instruct
  podSelector: {matchLabels: {model.aibrix.ai/name: qwen-coder-1-5b-instruct}}
  artifactURL: huggingface://acme/sql
"""


@pytest.mark.skipif(sys.platform != "linux", reason="containers share the machine's loopback on Linux alone")
def test_the_operators_image_gets_an_adapter_running_as_its_deployment_has_it(
    containers: Containers, tmp_path: Path
) -> None:
    with a_served_world(tmp_path, "--no-controller", scenario=SCENARIO.replace("20s", "1s")) as world:
        assert world.kubectl("apply", "-f", str(ROOT / "scenarios/manifests/qwen-coder.yaml")).code == 0
        assert world.kubectl("apply", "-f", "-", stdin=ADAPTER).code == 0
        probes = free_port()
        with containers.running("lora-controller", options=[*_outside(world, probes), "--network=host"]) as operator:
            running = "--for=jsonpath={.status.phase}=Running"
            waited = world.kubectl("wait", running, "modeladapter/sql", "--timeout=60s", timeout=90)
            assert waited.code == 0, waited.all + operator.log()
            assert operator.ask(f"http://127.0.0.1:{probes}/healthz") == "ok"
            assert operator.ask(f"http://127.0.0.1:{probes}/readyz") == "ok"
            assert operator.stop(grace=30) == 0
            assert "lease released" in operator.log()


def _outside(world: World, probes: int) -> list[str]:
    """The Deployment's environment, and what an operator outside a cluster needs besides."""
    _, environment = deployed("controller/deploy/base")
    config = world.kubeconfig.with_name("readable")
    config.write_text(world.kubeconfig.read_text())
    config.chmod(0o644)  # the image's user could not read the original
    more = {
        "KUBECONFIG": "/kubeconfig",
        "ENGINE_PROXY": world.gateway,
        "METRICS_BIND_ADDRESS": f":{free_port()}",
        "HEALTH_PROBE_BIND_ADDRESS": f":{probes}",
        "LEADER_ELECT_NAMESPACE": "default",
    }
    settings = {**environment, **{f"LORA_CONTROLLER_{name}": value for name, value in more.items()}}
    return ["--tmpfs=/tmp", f"--volume={config}:/kubeconfig:ro", *environment_of(settings)]


def test_the_twins_image_runs_a_scenario_of_the_user(containers: Containers, tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO.replace("10h", "1m"))
    tmp_path.chmod(0o777)
    ended = containers.run("lora-twin", "run", "scenario.yaml", options=[f"--volume={tmp_path}:/work", "--tmpfs=/tmp"])
    assert ended.code in (0, 1), ended.err
    assert (tmp_path / "reports/served/3/report.html").is_file()
