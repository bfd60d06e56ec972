"""Accounts of the small worlds: what their users read, and what the operator asked for; not a test.

`accounts.txt` has the account of each world. A line that changes on purpose is reviewed there:

    python -m tests.mutants.accounts    # writes it again
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from tests.mutants.clusters import CLUSTER_WORLDS
from tests.mutants.control import CONTROL_WORLDS
from tests.mutants.placing import POLICY_WORLDS
from tests.mutants.private import PRIVATE_WORLDS
from tests.mutants.records import Records
from tests.mutants.scaled import DEMAND_WORLDS
from tests.mutants.small import POD_WORLDS
from tests.mutants.weights import WEIGHT_WORLDS
from twin.trace.lines import AdapterLine, ApiLine, EventLine, Line, RequestLine, SliceLine

World = Callable[[Path], str]
WORLDS: Mapping[str, World] = {
    **POD_WORLDS,
    **CONTROL_WORLDS,
    **CLUSTER_WORLDS,
    **DEMAND_WORLDS,
    **POLICY_WORLDS,
    **PRIVATE_WORLDS,
    **WEIGHT_WORLDS,
}
FILE = Path(__file__).with_name("accounts.txt")
_NAMED = 1
"""Number of adapters whose statuses are written out, the first by name; the others are counted."""
_LONGEST = 40
"""Lines about statuses."""


def account(lines: Sequence[Line]) -> list[str]:
    """Return what a user reads of a run: phases and when, conditions, Events, and how many requests there were."""
    names = sorted({line.object for line in lines if isinstance(line, AdapterLine)})[:_NAMED]
    told = dict.fromkeys(text for name in names for text in _statuses(lines, name))
    return [*islice(told, _LONGEST), *_events(lines, names), *_requests(lines)]


def _statuses(lines: Sequence[Line], name: str) -> Iterator[str]:
    short, phase, published = name.partition("/")[2], "", -1
    for line in lines:
        if isinstance(line, SliceLine) and line.adapter == name and len(line.pods) != published:
            published = len(line.pods)
            yield f"{short} at {line.t:.0f} s: {published} endpoints in a slice"
        if not isinstance(line, AdapterLine) or line.object != name:
            continue
        now = f"{line.phase or line.event} on {len(line.instances)} pods" if line.event != "deleted" else "deleted"
        if now != phase:
            phase = now
            yield f"{short} at {line.t:.0f} s: {now}"
        for kind, (status, reason) in line.conditions.items():
            yield f"{short}: {kind} {status} {reason}: {line.messages.get(kind, '')}".rstrip(": ")
        if line.message and line.message not in line.messages.values():
            yield f"{short}: {line.message}"


def _events(lines: Sequence[Line], names: Sequence[str]) -> Iterator[str]:
    notes = {(ln.object, ln.reason, ln.note): ln for ln in lines if isinstance(ln, EventLine) and ln.object in names}
    for (name, reason, note), line in notes.items():
        yield f"{name.partition('/')[2]} Event {line.type} {reason} x{line.count}: {note}"


def _requests(lines: Sequence[Line]) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for line in lines:
        match line:
            case RequestLine(event="done"):
                counts[f"{line.verb}s with status {line.status}"] += 1
            case ApiLine() if line.resource != "leases":
                counts[f"{line.verb} of {line.resource} {line.subresource} with {line.code}".replace("  ", " ")] += 1
            case EventLine():
                counts[f"Events {line.reason}"] += 1
            case AdapterLine():
                counts[f"changes of adapters to {line.phase or 'no phase'}"] += 1
    yield from (f"{number} {what}" for what, number in sorted(counts.items()))


@cache
def stored() -> Mapping[str, list[str]]:
    """Return the accounts in `accounts.txt` by world."""
    accounts: dict[str, list[str]] = {}
    for text in FILE.read_text(encoding="utf-8").splitlines():
        if text.startswith("# "):
            lines = accounts[text.removeprefix("# ")] = []
        elif text:
            lines.append(text)
    return accounts


def run_world(name: str, folder: Path, records: Records) -> tuple[str, list[str]]:
    """Run a world; return what its judge found, and its account."""
    records.forget()
    wrong = WORLDS[name](folder)
    return wrong, [text for lines in records.kept for text in account(lines)]


def difference(name: str, told: Sequence[str]) -> str:
    """Return the first line of an account that is not in the stored one, or that only the stored one has."""
    expected = stored().get(name, [])
    new = next((text for text in told if text not in expected), "")
    lost = next((text for text in expected if text not in told), "")
    if new:
        return f"its account has {new!r}"
    return f"its account lacks {lost!r}" if lost else ""


def main() -> int:
    records, texts = Records(), []
    for name in WORLDS:
        with tempfile.TemporaryDirectory() as folder:
            wrong, told = run_world(name, Path(folder), records)
        if wrong:
            print(f"{name}: {wrong}")
            return 1
        texts += [f"# {name}", *told, ""]
    FILE.write_text("\n".join(texts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
