"""Texts avoid words that readers had to decode: archaic, invented or personifying ones."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".md", ".yaml", ".toml", ".ipynb", ".css", ".jinja", ".html", ""}
EXEMPT = {"LICENSE", "tests/test_prose.py"}
ODD_WORDS = re.compile(
    r"\b(anew|afresh|lest|befall\w*|astray|whoever|nobody|somebody|hastened?|"
    r"for want of|in the midst|(?-i:is none)|is no (?:duration|size|number|path|setting|axis|name|url|port)|"
    r"of late|so many|(?:is|are|was|were|be) told|told (?:of|to)|hears? of|manners|excuses|beyond chance)\b",
    re.IGNORECASE,
)
ODD_OPENINGS = re.compile(r"(What|Whether|Who|Whom|Whose|How|Which|Of|So)\b")


def tracked_files() -> list[Path]:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    paths = [ROOT / name for name in names if name and name not in EXEMPT]
    return [path for path in paths if path.suffix in SUFFIXES and path.is_file()]


def odd_words(text: str) -> list[str]:
    """Return the lines of `text` that contain a word to avoid, each with its number."""
    return [
        f"{number}: {line.strip()[:100]}" for number, line in enumerate(text.split("\n"), 1) if ODD_WORDS.search(line)
    ]


def prose_of(path: Path) -> str:
    """Return the text of a file; of a notebook only what its author wrote, line by line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def odd_docstrings(source: str) -> Iterator[str]:
    """Yield the docstrings that open with a question word instead of a verb or a noun."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            if ODD_OPENINGS.match(docstring):
                yield f"{getattr(node, 'lineno', 1)}: {docstring.splitlines()[0][:100]}"


def test_texts_use_plain_words() -> None:
    odd = {str(path.relative_to(ROOT)): lines for path in tracked_files() if (lines := odd_words(prose_of(path)))}
    assert odd == {}


def test_docstrings_open_with_a_verb_or_a_noun() -> None:
    python = [path for path in tracked_files() if path.suffix == ".py"]
    odd = {str(path.relative_to(ROOT)): lines for path in python if (lines := list(odd_docstrings(path.read_text())))}
    assert odd == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Starts anew.", 1),
        ("renewal", 0),
        ("Nobody waits", 1),
        ("the pod is told to stop", 1),
        ("is not a duration", 0),
    ],
)
def test_odd_words_are_matched_whole(text: str, count: int) -> None:
    assert len(odd_words(text)) == count


@pytest.mark.parametrize(
    ("source", "count"),
    [('"""What a pod is."""', 1), ('def f():\n    """Return it."""', 0), ('class A:\n    """Whether it runs."""', 1)],
)
def test_openings_are_found_in_modules_classes_and_functions(source: str, count: int) -> None:
    assert len(list(odd_docstrings(source))) == count
