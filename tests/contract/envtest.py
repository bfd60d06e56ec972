"""A temporary API server: etcd and kube-apiserver from `KUBEBUILDER_ASSETS`, on loopback."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

import httpx

from tests.contract.live import Server
from tests.ports import free_port

TOKEN, ACCOUNT_TOKEN = "contract-suite", "operators-account"
ACCOUNT = "system:serviceaccount:lora-system:lora-controller"
_STARTUP_TIMEOUT, _POLL_INTERVAL = 120.0, 0.2  # seconds


def missing(folder: Path) -> str:
    """Return why no server can be started from a folder, or ""."""
    for program in ("etcd", "kube-apiserver"):
        if not os.access(folder / program, os.X_OK):
            return f"KUBEBUILDER_ASSETS={folder} has no {program}"
    return "" if shutil.which("openssl") else "openssl, which creates the service account key, is not installed"


@contextmanager
def run_server(binaries: Path, flags: Sequence[str] = ()) -> Iterator[Server]:
    """Run etcd and kube-apiserver, with these additional flags, until the end of the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="contract-")))
        subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
        users = [f'{TOKEN},admin,admin,"system:masters"', f"{ACCOUNT_TOKEN},{ACCOUNT},operator"]
        (folder / "tokens.csv").write_text("\n".join(users))
        control_plane = ControlPlane(binaries, folder, stack.enter_context((folder / "log").open("wb")), flags)
        stack.callback(control_plane.stop)
        asyncio.run(control_plane.start())
        kubeconfig, account = folder / "kubeconfig", folder / "account"
        kubeconfig.write_text(_kubeconfig(control_plane.port, TOKEN))
        account.write_text(_kubeconfig(control_plane.port, ACCOUNT_TOKEN))
        yield Server(kubeconfig, control_plane.etcd_url, account, control_plane.restored_afterwards)


class ControlPlane:
    """The processes of one server; their ports stay the same when they are restarted."""

    def __init__(self, binaries: Path, folder: Path, log: IO[bytes], flags: Sequence[str] = ()) -> None:
        self._binaries, self._folder, self._log, self._flags = binaries, folder, log, flags
        self._etcd_port, self._peer_port, self.port = (free_port() for _ in range(3))
        self.etcd_url = f"http://127.0.0.1:{self._etcd_port}"
        self._etcd: subprocess.Popen[bytes] | None = None
        self._apiserver: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start what does not run, and wait until the API server is ready.

        Raises:
            RuntimeError: if it is not ready in time.
        """
        if self._etcd is None:
            self._etcd = self._run(_etcd(self._binaries, self._folder, self._etcd_port, self._peer_port))
        if self._apiserver is None:
            command = _apiserver(self._binaries, self._folder, self.etcd_url, self.port)
            self._apiserver = self._run([*command, *self._flags])
        if not await _ready(self.port):
            end = "\n".join((self._folder / "log").read_text(errors="replace").splitlines()[-5:])
            raise RuntimeError(f"the API server was not ready within {_STARTUP_TIMEOUT:g} s:\n{end}")

    def stop(self) -> None:
        """Stop everything."""
        self._stop_etcd()
        if self._apiserver is not None:
            _end(self._apiserver)
            self._apiserver = None

    @asynccontextmanager
    async def restored_afterwards(self) -> AsyncIterator[None]:
        """Take a backup of etcd before the block, and start everything from it after the block."""
        data, backup = self._folder / "etcd", self._folder / "backup"
        await asyncio.to_thread(self._stop_etcd)
        shutil.copytree(data, backup)
        await self.start()
        yield
        await asyncio.to_thread(self.stop)
        shutil.rmtree(data)
        backup.rename(data)
        await self.start()

    def _stop_etcd(self) -> None:
        if self._etcd is not None:
            _end(self._etcd)
            self._etcd = None

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdout=self._log, stderr=self._log)


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


def _apiserver(binaries: Path, folder: Path, etcd: str, port: int) -> list[str]:
    return [
        str(binaries / "kube-apiserver"),
        f"--etcd-servers={etcd}",
        f"--cert-dir={folder}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",  # as on OpenShift
        "--service-account-issuer=https://localhost",
        f"--service-account-key-file={folder / 'sa.key'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}",
    ]


def _kubeconfig(port: int, token: str) -> str:
    return f"""
apiVersion: v1
kind: Config
current-context: contract
clusters: [{{name: contract, cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}}}]
contexts: [{{name: contract, context: {{cluster: contract, user: contract}}}}]
users: [{{name: contract, user: {{token: {token}}}}}]
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
