"""The scenarios that come with the package: in a checkout `scenarios/`, in an installed package a copy of it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_PACKAGE = Path(__file__).parent
_PATTERNS = ("*.yaml", "*/*.yaml")
_MANIFESTS = "manifests"


@dataclass(frozen=True, slots=True)
class Example:
    """One scenario."""

    name: str
    """Path below the examples without `.yaml`, such as `faults/pod-kill`."""
    path: Path
    question: str
    """The first two questions in its description, or its first sentence."""


def examples_folder() -> Path:
    """Return the folder of the examples."""
    packaged = _PACKAGE / "scenarios"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "scenarios"


def examples() -> list[Example]:
    """Return all examples, by name."""
    return sorted(_examples(examples_folder()), key=lambda example: (example.name.count("/"), example.name))


def copy_example(example: Example, target: Path) -> list[Path]:
    """Copy a scenario and the files that it names into the folder `target`; return the files.

    The scenario lies at the same place below `target` as below the examples, so that its relative paths stay true.

    Raises:
        FileExistsError: if a file exists and has other contents; then nothing is copied.
        OSError: if a file cannot be written.
    """
    root = examples_folder()
    sources = [example.path, *_named_files(example.path)]
    copies = {source: target / source.resolve().relative_to(root.resolve()) for source in sources}
    for source, copy in copies.items():
        if copy.exists() and copy.read_bytes() != source.read_bytes():
            raise FileExistsError(str(copy))
    for source, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    return list(copies.values())


def _examples(root: Path) -> Iterator[Example]:
    """Yield the scenarios that can be copied: those that name no file outside the folder."""
    for pattern in _PATTERNS:
        for path in root.glob(pattern):
            if path.parent.name == _MANIFESTS:
                continue
            document = _document(path)
            depth = len(path.relative_to(root).parents) - 1
            if not any(text.count("../") > depth for text in _texts(document)):
                name = path.relative_to(root).with_suffix("").as_posix()
                yield Example(name, path, _question(str(document.get("description", ""))))


def _question(description: str) -> str:
    sentences = " ".join(description.split()).replace("? ", "?\n").replace(". ", ".\n").split("\n")
    return " ".join([sentence for sentence in sentences if sentence.endswith("?")][:2]) or sentences[0]


def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(path)
    return document


def _named_files(path: Path) -> list[Path]:
    """Return the files of the package that a scenario names: manifests, traces, policies."""
    folder = path.parent
    words = _texts(_document(path))
    named = [file for word in words for file in sorted(folder.glob(word)) if word and file.is_file()]
    return list(dict.fromkeys(named))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str() if "." in value and " " not in value and "://" not in value and not value.startswith("/"):
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
