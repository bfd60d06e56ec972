"""A temporary API server: etcd and kube-apiserver from `KUBEBUILDER_ASSETS`, on loopback."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.contract.live import Server
from tests.ports import free_port

TOKEN = "contract-suite"
_STARTUP_TIMEOUT, _POLL_INTERVAL = 120.0, 0.2  # seconds


def missing(folder: Path) -> str:
    """Return why no server can be started from a folder, or ""."""
    for program in ("etcd", "kube-apiserver"):
        if not os.access(folder / program, os.X_OK):
            return f"KUBEBUILDER_ASSETS={folder} has no {program}"
    return "" if shutil.which("openssl") else "openssl, which creates the service account key, is not installed"


@contextmanager
def run_server(binaries: Path) -> Iterator[Server]:
    """Run etcd and kube-apiserver until the end of the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="contract-")))
        etcd, peer, port = (free_port() for _ in range(3))
        key = folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(port))
        log = stack.enter_context((folder / "log").open("wb"))
        for command in (_etcd(binaries, folder, etcd, peer), _apiserver(binaries, folder, etcd, port)):
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(_end, process)
        if not asyncio.run(_ready(port)):
            end = "\n".join((folder / "log").read_text(errors="replace").splitlines()[-5:])
            raise RuntimeError(f"the API server was not ready within {_STARTUP_TIMEOUT:g} s:\n{end}")
        yield Server(kubeconfig, f"http://127.0.0.1:{etcd}")


def _etcd(binaries: Path, folder: Path, port: int, peer: int) -> list[str]:
    here = f"http://127.0.0.1:{port}"
    return [
        str(binaries / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={here}",
        f"--advertise-client-urls={here}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
    ]


def _apiserver(binaries: Path, folder: Path, etcd: int, port: int) -> list[str]:
    return [
        str(binaries / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        f"--cert-dir={folder}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--service-account-issuer=https://localhost",
        f"--service-account-key-file={folder / 'sa.key'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}",
    ]


def _kubeconfig(port: int) -> str:
    return f"""
apiVersion: v1
kind: Config
current-context: contract
clusters: [{{name: contract, cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}}}]
contexts: [{{name: contract, context: {{cluster: contract, user: contract}}}}]
users: [{{name: contract, user: {{token: {TOKEN}}}}}]
"""


async def _ready(port: int) -> bool:
    """Return whether the server became ready in time."""
    attempts = range(int(_STARTUP_TIMEOUT / _POLL_INTERVAL))
    async with httpx.AsyncClient(verify=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        for _ in attempts:
            try:
                if (await client.get(f"https://127.0.0.1:{port}/readyz")).status_code == 200:
                    return True
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(_POLL_INTERVAL)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
