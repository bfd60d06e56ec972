"""The image runs both commands: they start from what its lock installs, with every store at hand."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.controller.sidecar.processes import a_sidecar_process, an_engine_process
from tests.controller.sidecar.worlds import LOAD
from tests.ports import free_port

LOCK = Path(__file__).parents[3] / "controller" / "deploy" / "requirements.lock"
ONLY_LOCKED = '''
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions

locked, hidden = set(__LOCKED__), __HIDDEN__
providers = {
    top: {name.lower().replace("_", "-").replace(".", "-") for name in names}
    for top, names in packages_distributions().items()
}

class Elsewhere(MetaPathFinder):
    """Hides packages that are installed here but are not in the image."""

    def find_spec(self, name, path=None, target=None):
        by = providers.get(name.partition(".")[0])
        if (by and not by & locked) or name in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Elsewhere())
'''


def hiding(folder: Path, without: str = "", modules: tuple[str, ...] = ()) -> str:
    """Create a folder that, on PYTHONPATH, hides packages outside the lock, packages `without`, and modules."""
    locked = re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(), re.MULTILINE)
    kept = [name for name in (*locked, "lora-twin") if not without or not re.match(without, name)]
    text = ONLY_LOCKED.replace("__LOCKED__", repr(kept)).replace("__HIDDEN__", repr(modules))
    (folder / "sitecustomize.py").write_text(text)
    return str(folder)


@pytest.fixture
def as_in_the_image(tmp_path: Path) -> str:
    return hiding(tmp_path)


def message(as_in_the_image: str, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", *words]
    ended = subprocess.run(command, env={"PYTHONPATH": as_in_the_image}, capture_output=True, text=True, timeout=30)
    return ended.returncode, ended.stdout + ended.stderr


def test_packages_outside_the_lock_are_hidden(as_in_the_image: str) -> None:
    code, text = message(as_in_the_image, "twin.sim.simulation")
    assert code == 1
    assert "No module named 'simpy'" in text


@pytest.mark.parametrize(
    ("module", "name"), [("controller", "lora-controller"), ("controller.sidecar", "lora-runtime")]
)
def test_both_commands_say_their_version_and_what_they_take(as_in_the_image: str, module: str, name: str) -> None:
    code, text = message(as_in_the_image, module, "--version")
    assert code == 0
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", text)
    code, text = message(as_in_the_image, module, "--help")
    assert code == 0
    assert "--" in text


def test_the_operator_finds_its_client_of_the_cluster(as_in_the_image: str) -> None:
    code, text = message(as_in_the_image, "controller", "--kubeconfig", "/nowhere")
    assert (code, text) == (2, "lora-controller: /nowhere: kubeconfig not found\n")


def test_the_sidecar_has_the_client_of_every_store(as_in_the_image: str, tmp_path: Path) -> None:
    unreachable = f"http://127.0.0.1:{free_port()}"
    elsewhere = {"PYTHONPATH": as_in_the_image, "HF_ENDPOINT": unreachable, "STORAGE_EMULATOR_HOST": unreachable}
    aws = {"aws_access_key_id": "A", "aws_secret_access_key": "b", "endpoint": unreachable}
    tos = {"TOS_ACCESS_KEY": "A", "TOS_SECRET_KEY": "b", "endpoint": unreachable}
    requests: dict[str, dict[str, str]] = {"s3://bucket/sql/": aws, "tos://bucket/sql/": tos}
    requests |= {url: {} for url in ("gs://bucket/sql/", "hf://acme/sql", f"{unreachable}/sql.zip")}
    with (
        an_engine_process(tmp_path / "engine.log") as engine,
        a_sidecar_process(tmp_path / "log", tmp_path / "cache", engine.url, free_port(), **elsewhere) as sidecar,
        ThreadPoolExecutor() as threads,
    ):

        def code_of(url: str) -> str:
            body = {"lora_name": url.partition(":")[0], "artifact_url": url, "credentials": requests[url]}
            return str(httpx.post(sidecar.url + LOAD, json=body, timeout=60).json()["error"]["code"])

        assert dict(zip(requests, threads.map(code_of, requests), strict=True)) == dict.fromkeys(
            requests, "store_unavailable"
        )


def test_without_a_stores_client_it_starts_and_says_what_to_install(tmp_path: Path) -> None:
    bare = hiding(tmp_path, without="boto", modules=("google.cloud",))
    assert message(bare, "controller.sidecar", "--version")[0] == 0
    extras = {"s3://bucket/sql/": "s3", "gs://bucket/sql/": "gs"}
    with (
        an_engine_process(tmp_path / "engine.log") as engine,
        a_sidecar_process(tmp_path / "log", tmp_path / "cache", engine.url, free_port(), PYTHONPATH=bare) as sidecar,
    ):
        for url, extra in extras.items():
            body = {"lora_name": "sql", "artifact_url": url}
            answer = httpx.post(sidecar.url + LOAD, json=body, timeout=60)
            assert (answer.status_code, answer.json()["error"]["code"]) == (501, "store_unsupported")
            assert f"pip install 'lora-twin[{extra}]'" in answer.json()["error"]["message"]
