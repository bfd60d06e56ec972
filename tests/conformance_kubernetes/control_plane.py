"""A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, and no node."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from tests.contract.envtest import TOKEN, missing, run_server
from tests.ports import free_port

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
SERVICE_ADDRESSES = "10.96.0.0/16,fd00:96::/112"
_DEFAULT_FOLDER = Path("~/.cache/lora-twin/kubernetes")
_CONTROLLERS = "*,-serviceaccount-token-controller,-bootstrap-signer-controller,-token-cleaner-controller"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Address and token of a running API server."""

    url: str
    token: str


def binaries() -> Path:
    """Return the folder of the programs: `KUBEBUILDER_ASSETS`, or the cache of this project.

    Raises:
        FileNotFoundError: if a program is missing there.
    """
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS") or _DEFAULT_FOLDER).expanduser()
    absent = [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]
    if problem := (f"{folder} has no {', '.join(absent)}; set KUBEBUILDER_ASSETS" if absent else missing(folder)):
        raise FileNotFoundError(problem)
    return folder


def version(folder: Path) -> str:
    """Return the minor release of the programs, such as `1.36`."""
    text = subprocess.run([folder / "kube-apiserver", "--version"], check=True, capture_output=True, text=True).stdout
    return ".".join(text.split()[-1].removeprefix("v").split(".")[:2])


@contextmanager
def run_control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Run the four processes until the end of the block."""
    with ExitStack() as stack:
        server = stack.enter_context(run_server(folder, (f"--service-cluster-ip-range={SERVICE_ADDRESSES}",)))
        log = stack.enter_context((server.kubeconfig.parent / "controllers.log").open("wb"))
        manager = _controller_manager(folder / "kube-controller-manager", server.kubeconfig)
        scheduler = _component(folder / "kube-scheduler", server.kubeconfig)
        for command in (manager, scheduler):
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
        config = YAML(typ="safe").load(server.kubeconfig.read_text())
        yield ControlPlane(config["clusters"][0]["cluster"]["server"], TOKEN)


def _controller_manager(program: Path, kubeconfig: Path) -> list[str]:
    return [
        *_component(program, kubeconfig),
        f"--controllers={_CONTROLLERS}",
        f"--service-cluster-ip-range={SERVICE_ADDRESSES}",
        "--kube-api-qps=300",  # the default of 20 delays stories that are played side by side
        "--kube-api-burst=600",
    ]


def _component(program: Path, kubeconfig: Path) -> list[str]:
    """Return a program and the flags that controller manager and scheduler share."""
    return [
        str(program),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--cert-dir={kubeconfig.parent}",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}",
        "--leader-elect=false",
    ]
