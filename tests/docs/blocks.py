"""Code blocks and inline commands of the documentation; not a test."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "faults"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "scenarios/README.md", "reports/examples/README.md")),
)
"""All pages except docs/faults, which are generated from the scenarios and the schema."""
PROGRAMS = ("twin", "lora-controller", "lora-runtime", "fake-vllm", "make", "pip")
"""Programs whose commands are checked."""
ELSEWHERE = ("kubectl", "helm", "docker", "git", "curl", "sed", "vllm", "export", "python")
"""Programs of others; `test_commands.py` runs those of pages about a cluster."""
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^    ((?:[A-Z_]+=\S+ )*(?:" + "|".join(PROGRAMS + ELSEWHERE) + r") .*)$", re.MULTILINE)
_INLINE = re.compile(r"`((?:(?:twin|lora-controller|lora-runtime|fake-vllm) [^\s`]+|make|pip) [^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its page, the line that it begins in, its language, and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a page shows."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where} {self.text}"


@cache
def blocks() -> list[Block]:
    """Return the fenced blocks of all pages."""
    return [
        Block(str(page.relative_to(ROOT)), text[: match.start()].count("\n") + 1, match[1], match[2])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for match in _FENCE.finditer(text)
    ]


@cache
def commands() -> list[Command]:
    """Return the commands of all pages: those of blocks, indented lines, and inline ones that have arguments."""
    found = [Command(str(block), line) for block in blocks() for line in _lines(block)]
    for page in PAGES:
        text = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text(encoding="utf-8"))
        for pattern in (_INDENTED, _INLINE):
            for match in pattern.finditer(text.replace("\\\n", "  ")):
                line = text[: match.start()].count("\n") + 1
                found.append(Command(f"{page.relative_to(ROOT)}:{line}", match[1].strip()))
    return found


def _lines(block: Block) -> Iterator[str]:
    """Return the command lines of a block: all of a shell's, and of a plain one those that begin with a program."""
    for line in block.text.replace("\\\n", " ").splitlines():
        word = re.sub(r"^([A-Z_]+=\S+ )*", "", line).partition(" ")[0]
        shell = block.language in ("sh", "console")
        if line.strip() and (shell or (not block.language and word in PROGRAMS + ELSEWHERE)):
            yield line.strip()
