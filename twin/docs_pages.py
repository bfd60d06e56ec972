"""Generated documentation pages (`python -m twin.docs_pages`).

`docs/faults/` has one page for each kind of fault, made from its class in `twin/scenario/faults` and from the scenario
that demonstrates it; `scenarios/README.md` lists all scenarios with their questions and findings. A test fails when
they are out of date.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from twin.evaluate.invariants.tolerances import tolerance_text
from twin.scenario import FaultDescription, Scenario, load
from twin.scenario.faults.catalogue import fault_catalogue
from twin.scenario.yaml.writer import yaml_text

MADE = "<!-- Made by `make docs`; what is wrong here is wrong in the code. -->\n"
FOLDERS: Mapping[str, str] = {
    "": "To start with, and to measure with",
    "retries": "When a load fails: waits, retries, another pod",
    "stability": "When pods come and go: stability times, grace, flapping",
    "density": "How many adapters fit, and where they should go",
    "traffic": "What users notice",
    "outages": "When more than one thing breaks",
    "troubleshooting": "What keeps an adapter from Running: one adapter for each cause",
    "faults": "One for each kind of fault",
}
"""Folders under `scenarios/`, in the order of the index, and the question that each is about."""


def main(root: Path = Path()) -> None:
    """Writes all of them under `root`, and takes away pages of faults that are no more."""
    made = pages(root)
    for old in (root / "docs/faults").glob("*.md"):
        if old not in made:
            old.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def pages(root: Path) -> dict[Path, str]:
    """Path and text of every page."""
    entries = fault_catalogue()
    made = {root / f"docs/faults/{entry.kind}.md": _fault(entry, root) for entry in entries}
    made[root / "docs/faults/README.md"] = _faults(entries)
    made[root / "scenarios/README.md"] = _scenarios(root)
    return made


def scenario_files(root: Path) -> dict[str, list[Path]]:
    """Scenario files by folder, in the order of the index."""
    return {folder: sorted((root / "scenarios" / folder).glob("*.yaml")) for folder in FOLDERS}


def _fault(entry: FaultDescription, root: Path) -> str:
    when = "lasts, `from` a time `until` another" if entry.is_lasting else "strikes, at a moment"
    parts = [MADE, f"# {entry.kind}\n", f"{entry.summary} It is a fault of {_on(entry)} and {when}.\n"]
    parts += [f"{paragraph}\n" for paragraph in entry.details]
    parts.append("| parameter | if absent | meaning |\n| --- | --- | --- |")
    for parameter in entry.parameters:
        meaning = " ".join(parameter.meaning.split()).replace("|", "\\|")
        parts.append(f"| `{parameter.name}` | {_shown(parameter.default)} | {meaning} |")
    parts += ["\n## How an operator is judged meanwhile\n", f"{tolerance_text(entry.kind)}\n"]
    parts.append("\n".join(_example(root / f"scenarios/faults/{entry.kind}.yaml")))
    return "\n".join(parts)


def _on(entry: FaultDescription) -> str:
    return {"controller": "the controller", "network": "the network", "artifacts": "the registry of artifacts"}.get(
        entry.on, "the Kubernetes API" if entry.on == "Kubernetes API" else entry.on
    )


def _shown(default: str) -> str:
    return default if default in ("required", "none") else f"`{default}`"


def _example(path: Path) -> Iterator[str]:
    scenario = load(path)
    raw: dict[str, Any] = YAML(typ="safe").load(path)
    yield f"## Seen in [scenarios/faults/{path.name}](../../scenarios/faults/{path.name})\n"
    yield f"{' '.join(scenario.description.split())}\n"
    yield "```yaml"
    yield yaml_text({"faults": raw["faults"]}, width=100).rstrip()
    yield "```\n"
    yield f"{' '.join(scenario.findings.split())}\n"


def _faults(entries: list[FaultDescription]) -> str:
    lines = [MADE, "# Faults\n", "What can go wrong in a scenario's `faults`; `twin faults` prints the same.\n"]
    lines.append("| kind | on | what happens |\n| --- | --- | --- |")
    lines += [f"| [{entry.kind}]({entry.kind}.md) | {entry.on} | {entry.summary} |" for entry in entries]
    return "\n".join(lines) + "\n"


def _scenarios(root: Path) -> str:
    parts = [MADE, "# Scenarios\n"]
    parts.append(
        "Each asks a question; run one with `twin run FILE`, and those that have a `vary:` with `twin compare FILE`. "
        "What was found stands below it, for the seed in the file unless it says how many; what must hold is checked "
        "in every run.\n"
    )
    found = {folder: files for folder, files in scenario_files(root).items() if files}
    parts.append(
        "\n".join(f"- [{FOLDERS[folder]}](#{_anchor(FOLDERS[folder])}): {len(found[folder])}" for folder in found)
    )
    parts.append("")
    for folder, files in found.items():
        parts.append(f"## {FOLDERS[folder]}\n")
        for path in files:
            parts.append("\n".join(_listed(load(path), f"{folder}/{path.name}".lstrip("/"))))
    return "\n".join(parts)


def _anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def _listed(scenario: Scenario, path: str) -> Iterator[str]:
    yield f"### [{scenario.name}]({path})\n"
    yield f"{' '.join(scenario.description.split())}\n"
    if scenario.findings:
        yield f"*Found:* {' '.join(scenario.findings.split())}\n"
    held = ", ".join(f"`{expectation}`" for expectation in scenario.expect)
    yield f"*Must hold:* {held}.\n"


if __name__ == "__main__":
    main()
