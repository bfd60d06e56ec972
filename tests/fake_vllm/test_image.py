"""The image and the manifests, as far as they can be tested without a container runtime.

What is copied is there, the lock has all that is imported, the command runs as the Dockerfile starts it, the manifests
build and run, and the page that tells of all this can be followed.
"""

import ast
import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from fake_vllm.cli.command_line import read
from tests.fake_vllm.processes import answers
from tests.ports import free_port
from twin.runs.run import simulate_and_judge
from twin.scenario import load

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "fake_vllm/Dockerfile").read_text().replace("\\\n", " ")
DEPLOY = ROOT / "fake_vllm/deploy"


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in DOCKERFILE.splitlines() if line.startswith(f"{name} ")]


def objects() -> list[dict[str, Any]]:
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    done = subprocess.run([kubectl, "kustomize", str(DEPLOY)], capture_output=True, text=True, timeout=60, check=True)
    return [item for item in YAML(typ="safe").load_all(done.stdout) if item]


def container() -> dict[str, Any]:
    (deployment,) = (item for item in objects() if item["kind"] == "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_what_is_copied_is_there() -> None:
    for copied in instructions("COPY"):
        *sources, _ = shlex.split(copied)
        if not sources[0].startswith("--from"):
            assert all((ROOT / source).exists() for source in sources), copied


def test_the_lock_has_all_that_is_imported_each_with_its_hash() -> None:
    lock = (DEPLOY / "requirements.lock").read_text()
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert lock.count("==") == len(re.findall(r"==[^\n]*\\\n    --hash", lock))
    assert _imported() <= locked
    assert "httptools" in locked  # uvicorn finds it by itself


def _imported() -> set[str]:
    """Return the distributions that the package imports, anywhere in its modules."""
    names: set[str] = set()
    for file in (ROOT / "fake_vllm").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").partition(".")[0])
    known = packages_distributions()
    ours = {"fake_vllm", "formats", *sys.stdlib_module_names}
    return {re.sub(r"[-_.]+", "-", known[name][0]).lower() for name in names - ours}


def test_it_runs_as_nobody_and_says_how_it_is() -> None:
    assert instructions("USER") == ["65532:65532"]
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["fake-vllm", "serve"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "vllm.entrypoints.openai.api_server --max-num-seqs -1",
            "max_num_seqs: Input should be greater than or equal to 1",
        ),
        (
            "sglang.launch_server --model-path m --max-loras-per-batch 0",
            "--max-loras-per-batch is 0; it must be at least 1",
        ),
    ],
)
def test_the_modules_that_manifests_start_are_the_fake_in_the_engines_dialect(words: str, message: str) -> None:
    """Each gets one of its own flags, out of range so that it ends."""
    env = {"PYTHONPATH": str(DEPLOY / "standins")}
    command = [sys.executable, "-m", *words.split()]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(f"{message}\n")


def test_the_entrypoint_serves_from_a_read_only_place_and_the_health_check_passes(tmp_path: Path) -> None:
    """Start it with only the image's packages, in a read-only folder, with few environment variables."""
    copy = tmp_path / "site"
    for package in ("fake_vllm", "formats"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for place in (*copy.rglob("*"), copy):
        place.chmod(0o555 if place.is_dir() else 0o444)
    port = free_port()
    check = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
    code = check[2].replace(":8000/", f":{port}/")
    bare = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/nowhere"}

    async def story() -> None:
        command = [sys.executable, "-P", "-m", "fake_vllm", "serve", "--host", "127.0.0.1", "--port", str(port)]
        process = await asyncio.create_subprocess_exec(*command, env=bare, cwd=copy, stderr=asyncio.subprocess.PIPE)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                await answers(client, "/health")
            checking = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=bare)
            assert await asyncio.wait_for(checking.wait(), 10) == 0
        finally:
            process.terminate()
            await process.wait()
        failing = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, env=bare, stderr=asyncio.subprocess.DEVNULL
        )
        assert await asyncio.wait_for(failing.wait(), 10) != 0
        assert list(copy.rglob("__pycache__")) == []

    asyncio.run(story())


def test_the_manifests_differ_from_the_real_ones_in_image_rights_and_gpu_alone() -> None:
    ours = container()
    config = read([*ours["command"], *ours["args"]], {each["name"]: each["value"] for each in ours["env"]})
    assert (config.port, config.enable_lora, config.runtime_updating) == (8000, True, True)
    assert "nvidia.com/gpu" not in str(ours["resources"])
    assert ours["securityContext"]["readOnlyRootFilesystem"] is True
    real = YAML(typ="safe").load_all((ROOT / "scenarios/manifests/qwen-coder.yaml").read_text())
    (theirs,) = (item for item in real if item["kind"] == "Deployment")
    (other,) = theirs["spec"]["template"]["spec"]["containers"]
    assert ours["command"] == other["command"]
    assert set(ours) - set(other) == {"securityContext"}


def test_the_manifests_run_in_the_twin_as_the_scenario_expects() -> None:
    findings = simulate_and_judge(load(ROOT / "scenarios/fake-engine.yaml"))
    assert findings.passed, findings.verdict()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_page_of_the_fake_engine_can_be_followed_word_by_word(tmp_path: Path) -> None:
    """Each block starts a server and sends requests to it, or to the server of the block before."""
    page = (ROOT / "docs/fake-engine.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        followed(block, tmp_path)


def followed(block: str, folder: Path) -> None:
    """Start the server, then run each `curl`, which has to succeed."""
    lines = block.replace("\\\n", " ").splitlines()
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (serving,) = (line for line in lines if "fake-vllm serve" in line)
    ports = {number: free_port() for number in re.findall(r"port (\d+)", serving)}
    ports.setdefault("8000", free_port())
    serving = serving if "--port" in serving else f"{serving} --port 8000"

    def here(line: str) -> str:
        for number, port in ports.items():
            line = line.replace(f":{number}", f":{port}").replace(f"port {number}", f"port {port}")
        return line

    process = subprocess.Popen(["bash", "-c", f"exec env {here(serving)}"], env=env, cwd=folder)
    try:
        ready = "curl -s --retry 40 --retry-delay 0 --retry-connrefused --retry-max-time 20 localhost:"
        subprocess.run(["bash", "-c", f"{ready}{ports['8000']}/health"], env=env, check=True, timeout=40)
        for line in lines:
            if line.startswith("curl"):
                asked = here(line.partition("#")[0]).replace("curl ", "curl -sS --fail-with-body --max-time 20 ", 1)
                done = subprocess.run(
                    ["bash", "-c", asked], env=env, capture_output=True, text=True, timeout=40, check=False
                )
                assert done.returncode == 0, (line, done.stdout, done.stderr)
    finally:
        process.terminate()
        process.wait(10)
