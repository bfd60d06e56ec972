"""The wheel and the source distribution, installed as users install them: outside the checkout, with what they declare.

The environment holds the wheel and links to the distributions that its metadata require, directly or not, and nothing
else of this environment: a dependency that is used but not declared is missing there.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lora_twin.version import UNTAGGED, VARIABLE, version_of

ROOT = Path(__file__).parents[1]
PACKAGES = {"twin", "controller", "fake_vllm", "formats"}
OF_OTHERS = "raise ImportError('a package of another distribution')\n"


def build(tree: Path, target: str, out: Path, **variables: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", VARIABLE)}
    done = subprocess.run(
        command, cwd=tree, env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(source_distribution: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the source distribution, as `pip install` does without a wheel."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(source_distribution) as archive:
        archive.extractall(unpacked, filter="data")
    (tree,) = unpacked.iterdir()
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


def required(of: Distribution, extras: Collection[str], seen: dict[str, Distribution]) -> dict[str, Distribution]:
    """Return the distributions that one requires with these extras, directly or not, by name."""
    for text in of.requires or []:
        requirement = Requirement(text)
        marker, name = requirement.marker, canonicalize_name(requirement.name)
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            known, seen[name] = name in seen, distribution(name)
            if not known or requirement.extras:
                required(seen[name], requirement.extras, seen)
    return seen


def link(found: Distribution, site: Path) -> None:
    """Link the top-level folders and files of a distribution into another `site-packages`."""
    for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
        source = Path(str(found.locate_file(top))).resolve()
        if source.suffix != ".pth" and source.exists() and not (site / top).exists():
            (site / top).symlink_to(source)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet"]
    options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, str(wheel)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (metadata,) = site.glob("lora_twin-*.dist-info")
    for found in required(PathDistribution(metadata), (), {}).values():
        link(found, site)
    return folder


def run(environment: Path, folder: Path, *command: str, **variables: str) -> str:
    """Run an installed command in a folder; return its output."""
    words = [str(environment / "bin" / command[0]), *command[1:]]
    bare = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], **variables}
    done = subprocess.run(words, cwd=folder, env=bare, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def test_the_tour_of_a_new_user_works_outside_the_checkout(environment: Path, tmp_path: Path, wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    assert run(environment, tmp_path, "twin", "--version") == f"lora-twin {version}\n"
    assert "quickstart.yaml: copied" in run(environment, tmp_path, "twin", "examples", "quickstart")
    assert "Valid" in run(environment, tmp_path, "twin", "check", "quickstart.yaml")
    assert "Passed" in run(environment, tmp_path, "twin", "run", "quickstart.yaml")
    assert (tmp_path / "reports/quickstart/0/report.html").is_file()


@pytest.fixture
def beside_others(environment: Path, tmp_path: Path) -> Iterator[Path]:
    """Install another distribution with modules of our packages' names, beside ours and on PYTHONPATH."""
    (site,) = environment.glob("lib/python*/site-packages")
    for name in PACKAGES:
        for folder in (site, tmp_path):
            (folder / f"{name}.py").write_text(OF_OTHERS)
    yield tmp_path
    for name in PACKAGES:
        (site / f"{name}.py").unlink()


@pytest.mark.parametrize("command", ["twin", "lora-controller"])
def test_the_commands_work_beside_other_packages_of_the_same_names(
    environment: Path, beside_others: Path, command: str
) -> None:
    assert "usage:" in run(environment, beside_others, command, "--help", PYTHONPATH=str(beside_others)).lower()


def test_python_programs_find_the_packages_and_those_of_others_stay_theirs(
    environment: Path, beside_others: Path
) -> None:
    where = "import importlib.util as i; print(i.find_spec('controller').origin)"
    first = run(environment, beside_others, "python", "-P", "-c", where)
    assert first.endswith("site-packages/controller.py\n")
    asked = run(environment, beside_others, "python", "-P", "-c", f"import lora_twin; {where}")
    assert asked.endswith("site-packages/lora_twin/controller/__init__.py\n")


def test_without_others_a_policy_of_a_user_imports_the_package_by_its_name(environment: Path, tmp_path: Path) -> None:
    program = "from controller.policies import View; print(View.__name__)"
    assert run(environment, tmp_path, "python", "-c", program) == "View\n"


def test_the_wheel_has_no_top_level_package_but_its_own(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"lora_twin", "lora_twin.pth"}
    inside = {parts[1] for name in names if len(parts := name.split("/")) > 2}
    assert inside >= PACKAGES
    assert "lora_twin/twin/scenarios/quickstart.yaml" in names
    assert "lora_twin/controller/deploy/crd.yaml" in names


def test_the_source_distribution_builds_images_too_and_has_no_tests(source_distribution: Path) -> None:
    with tarfile.open(source_distribution) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"controller/deploy/Dockerfile", "fake_vllm/Dockerfile", "requirements-build.lock", "LICENSE"} <= names
    assert not {name for name in names if name.startswith(("tests/", "reports/", "notebooks/"))}


@pytest.mark.parametrize("dockerfile", ["controller/deploy/Dockerfile", "fake_vllm/Dockerfile", "twin/Dockerfile"])
def test_an_image_builds_its_wheel_from_what_is_copied_into_it(dockerfile: str, tmp_path: Path) -> None:
    """The build stage of the image, without a container: only its files, and the version as an argument."""
    tree = tmp_path / "src"
    tree.mkdir()
    text = (ROOT / dockerfile).read_text()
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            assert f"!{source.partition('/')[0]}" in allowed, f"{source} is not in the build context"
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tree / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, tree)
    built = build(tree, "wheel", tmp_path / "out", **{VARIABLE: "9.8.7"})
    assert built.name.startswith("lora_twin-9.8.7-")


@pytest.mark.parametrize(
    ("described", "version"),
    [
        ("v1.2.3-0-gabc1234", "1.2.3"),
        ("v1.2.3-5-gabc1234", "1.2.4.dev5+gabc1234"),
        ("v0.9.9-12-g0000000", "0.9.10.dev12+g0000000"),
        ("", UNTAGGED),
        ("v1.2.3rc1-0-gabc1234", UNTAGGED),
    ],
)
def test_the_version_is_the_newest_tags(described: str, version: str) -> None:
    assert version_of(described) == version


def test_a_tagged_checkout_builds_its_version_and_an_untagged_one_the_fallback(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(tmp_path)]
    (tmp_path / "lora_twin").mkdir()
    shutil.copy(ROOT / "lora_twin/version.py", tmp_path / "lora_twin")
    program = "import runpy; print(runpy.run_path('lora_twin/version.py')['current_version']())"

    def version() -> str:
        bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=True).stdout

    assert version() == f"{UNTAGGED}\n"
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    assert version() == f"{UNTAGGED}\n"
    subprocess.run([*git, "tag", "v3.4.5"], check=True)
    assert version() == "3.4.5\n"
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "two"], check=True)
    assert re.fullmatch(r"3\.4\.6\.dev1\+g[0-9a-f]+\n", version())
