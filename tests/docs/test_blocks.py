"""Every code block of the pages is valid, and every command names flags, files and targets that exist.

`test_commands.py` runs the pages about a cluster; `PLAIN` lists the blocks that cannot be checked, with reasons.
"""

import ast
import inspect
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from ruamel.yaml import YAML

from controller import options as controller_options
from controller import plan_command
from fake_vllm.cli import options as fake_options
from fake_vllm.cli.artifacts import ArtifactCatalogue
from tests.docs.blocks import ELSEWHERE, ROOT, Block, Command, blocks, commands
from twin import analysis, cli
from twin.experiments.design import SOURCE
from twin.experiments.search_space import parse_dimension
from twin.scenario import ScenarioErrors, load
from twin.scenario.manifests.admission import definition

PLAIN: Mapping[tuple[str, str], str] = {
    ("docs/architecture.md", "mermaid"): "a drawing",
    ("docs/policies.md", "Dockerfile"): "an image is not built here; tests/images does",
    ("docs/install.md", "kind: Kustomization"): "kubectl builds it in test_commands.py",
    ("docs/install.md", "components:"): "part of a Kustomization; tests/controller/deploy builds the component",
    ("docs/clusters.md", "resource.customizations"): "read by Argo CD",
    ("docs/calibrate.md", ""): "output of commands",
    ("docs/capture.md", ""): "output of a command",
    ("docs/compare.md", ""): "output of a command",
    ("docs/traces.md", ""): "rows of a trace, and messages",
}
"""(page, language or beginning of a text in it) to the reason why the block is only read."""
CHEAP = ("init", "check", "faults", "policies", "schema", "examples")
"""Commands of `twin` that are run as they are written."""
FIELDS = ("adapters", "cluster", "controller", "edits", "expect", "faults", "manifests", "objects", "traffic")
MANIFEST = "scenarios/manifests/qwen-coder.yaml"
SHELL = ("sh", "console")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the folders and files that pages use."""
    for name in ("scenarios", "controller", "fake_vllm", "tests", "reports"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "arrivals.csv").write_text("time\n0\n1.5\n")
    columns = {"time": [0.0, 2.0], "prompt_tokens": [10, 20], "output_tokens": [5, 5], "adapter": ["sql-0", "sql-1"]}
    pq.write_table(pa.table(columns), tmp_path / "requests.parquet")
    (tmp_path / "calibrated.yaml").write_text("load: 2s\n")
    (tmp_path / "my-base-model.yaml").symlink_to(ROOT / MANIFEST)
    (tmp_path / "my-adapters.yaml").symlink_to(ROOT / "scenarios/manifests/quickstart-adapters.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_plain(block: Block) -> bool:
    """True if a block is only read: it is listed, or has commands only, which are checked one by one."""
    listed = any(
        page == block.page and (text == block.language or (text and text in block.text)) for page, text in PLAIN
    )
    return listed or block.language in SHELL


def checked(language: str) -> list[Any]:
    return [pytest.param(each, id=str(each)) for each in blocks() if each.language == language and not is_plain(each)]


def document(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def scenario(folder: Path, sections: Mapping[str, Any]) -> None:
    """Load a scenario with these sections; raises what is wrong with it."""
    body = {"name": "page", "duration": "20m", "manifests": [MANIFEST], **sections}
    with (folder / "page.yaml").open("w", encoding="utf-8") as out:
        YAML(typ="safe", pure=True).dump(body, out)
    try:
        load(folder / "page.yaml")
    except ScenarioErrors as errors:
        raise AssertionError([str(problem) for problem in errors.problems]) from None


def in_a_pod(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Deployment of the manifests with a part of its pods' metadata or spec replaced."""
    deployment: dict[str, Any] = document((ROOT / MANIFEST).read_text(encoding="utf-8").partition("\n---")[0])
    template = deployment["spec"]["template"]
    for key, value in part.get("metadata", {}).items():
        template["metadata"].setdefault(key, {}).update(value)
    template["spec"].update({key: value for key, value in part.items() if key != "metadata"})
    return deployment


def an_adapter(spec: Mapping[str, Any]) -> dict[str, Any]:
    selector = {"matchLabels": {"model.aibrix.ai/name": "qwen-coder-1-5b-instruct"}}
    body = {
        "baseModel": "qwen-coder-1-5b-instruct",
        "podSelector": selector,
        "artifactURL": "huggingface://a/b",
        **spec,
    }
    return {"apiVersion": "model.aibrix.ai/v1alpha1", "kind": "ModelAdapter", "metadata": {"name": "sql"}, "spec": body}


def check_yaml(folder: Path, content: Mapping[str, Any]) -> None:
    """Check a block by what it is: an object, sections of a scenario, or a part of an object."""
    match content:
        case {"kind": _, "apiVersion": _}:
            scenario(folder, {"objects": [content]})
        case {"rules": _}:
            role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "page"}}
            scenario(folder, {"objects": [{**role, **content}]})
        case {"spec": {"artifactURL": _} as spec}:
            scenario(folder, {"objects": [an_adapter(spec)]})
        case {"status": {"artifact": facts}}:
            schema = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            assert set(facts) <= set(schema["properties"]["status"]["properties"]["artifact"]["properties"])
        case {"containers": _} | {"metadata": {"labels": _}} | {"metadata": {"annotations": _}}:
            scenario(folder, {"objects": [in_a_pod(content)], "manifests": []})
        case _ if all("/" in key for key in content):
            (folder / "catalogue.yaml").write_text(json.dumps(content))
            assert ArtifactCatalogue.read("catalogue.yaml").entries
        case {"cluster": {"containers": named}}:
            job = {"containers": [{"name": name, "image": "x"} for name in named], "restartPolicy": "Never"}
            meta = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "page"}}
            scenario(folder, {**content, "objects": [{**meta, "spec": {"template": {"spec": job}}}]})
        case _:
            unknown = [key for key in content if key not in (*FIELDS, "name", "duration")]
            assert unknown == [], f"neither an object nor sections of a scenario: {unknown}"
            scenario(folder, content)


@pytest.mark.parametrize("block", checked("yaml"))
def test_a_yaml_block_is_accepted(block: Block, folder: Path) -> None:
    spec = json.dumps(an_adapter({})["spec"])
    (folder / "mine.yaml").symlink_to(ROOT / MANIFEST)
    (folder / "manifests").symlink_to(ROOT / "scenarios/manifests")
    sys.path.insert(0, str(folder))
    try:
        (folder / "my_policies.py").write_text(next(each.text for each in blocks() if "FewPods:" in each.text))
        check_yaml(folder, document(block.text.replace("spec: {…}", f"spec: {spec}")))
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("my_policies", None)


@pytest.mark.parametrize("block", checked("python"))
def test_a_python_block_runs_or_calls_functions_that_there_are(block: Block, folder: Path) -> None:
    """The block of docs/analysis.md runs dozens of simulations; its calls are compared with the signatures."""
    if block.page != "docs/analysis.md":
        target = folder / "reports/quickstart/0/events.parquet"
        text = block.text.replace(str(target.relative_to(folder)), "events.parquet")
        columns = ("kind", "event", "object", "adapter", "error")
        pq.write_table(pa.table({**{name: ["x"] for name in columns}, "t": [0.0], "status": [200]}), "events.parquet")
        exec(compile(text, str(block), "exec"), {"__name__": "block"})
        return
    calls = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Call)]
    named = [
        call
        for call in calls
        if re.fullmatch(r"analysis\.\w+", ast.unparse(call.func)) and isinstance(call.func, ast.Attribute)
    ]
    assert len(named) == 3
    for call in named:
        function = getattr(analysis, call.func.attr)  # type: ignore[attr-defined]
        keywords = {str(keyword.arg): keyword.value for keyword in call.keywords}
        inspect.signature(function).bind(*call.args, **keywords)


@pytest.mark.parametrize("block", [*checked("json"), *checked("toml")])
def test_a_json_or_toml_block_can_be_read(block: Block) -> None:
    assert json.loads(block.text) if block.language == "json" else tomllib.loads(block.text)


def test_every_block_is_checked_or_has_a_reason() -> None:
    languages = ("yaml", "python", "json", "toml", *SHELL)
    plain = [each for each in blocks() if each.language not in languages and not is_plain(each)]
    leftover = [str(each) for each in plain if not any(str(each) == command.where for command in commands())]
    assert leftover == []
    pages = {each.page for each in blocks()}
    assert [page for page, _ in PLAIN if page not in pages] == []


def words(command: Command) -> list[str]:
    """Return the words of a command without its variables, up to a pipe or a redirection."""
    parts = shlex.split(command.text, comments=True)
    start = next(i for i, part in enumerate(parts) if not re.match(r"[A-Z_]+=", part))
    end = next((i for i, part in enumerate(parts) if part in ("|", ">", "&", "&&", ";", "||")), len(parts))
    return parts[start:end]


def check_twin(arguments: list[str], folder: Path) -> None:
    """Parse a command of `twin`, and its settings with the scenario; run it if it is cheap."""
    group = typer.main.get_command(cli.app)
    context = click.Context(group, info_name="twin")
    name, command, rest = group.resolve_command(context, list(arguments))  # type: ignore[attr-defined]
    values = command.make_context(name, list(rest), parent=context).params
    missing = [part for part in rest if re.match(r"(scenarios|tests|controller)/", part) and not Path(part).exists()]
    assert missing == []
    file = values.get("file") or values.get("path") or Path("none")
    if name in ("run", "compare", "sweep", "search") and file.is_file():
        overrides = dict(setting.split("=", 1) for setting in values.get("settings") or [])
        axes = [argument.split("=", 1) for argument in values.get("vary") or []]
        points = {path: parse_dimension(text).at(0) for path, text in axes if path != SOURCE}
        load(file, overrides=overrides | points)
    if name in CHEAP:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["twin", *arguments])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert ended.value.code == 0


def check_make(arguments: list[str], folder: Path) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        assert re.search(rf"\$\((?:or \$\()?{name}\b" if equals else rf"^{name}:.*##", text, re.MULTILINE), argument


def check_pip(arguments: list[str], folder: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for named in re.findall(r"lora-twin\[([^\]]+)\]", " ".join(arguments)):
        assert set(named.split(",")) <= set(extras), named


def check_fake(arguments: list[str], folder: Path) -> None:
    if arguments != ["--help"]:
        fake_options.read(arguments, {})


def check_controller(arguments: list[str], folder: Path) -> None:
    if arguments[0] == "plan":
        plan_command.parse_arguments(arguments[1:], {})
    elif arguments != ["--help"]:
        controller_options.parse(arguments, {})


CHECKS: Mapping[str, Callable[[list[str], Path], None]] = {
    "twin": check_twin,
    "make": check_make,
    "pip": check_pip,
    "fake-vllm": check_fake,
    "lora-controller": check_controller,
}


def test_every_command_names_flags_files_and_targets_that_exist(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = []
    for command in commands():
        try:
            program, *arguments = words(command)
            if program in CHECKS and "…" not in command.text:
                CHECKS[program](arguments, folder)
            assert program in (*CHECKS, *ELSEWHERE), "neither checked nor listed"
        except Exception as error:
            wrong.append(f"{command}: {getattr(error, 'message', error)}")
    assert not wrong, "\n".join(wrong)
