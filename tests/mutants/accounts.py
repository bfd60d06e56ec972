"""Accounts of the small worlds: what their users read, what the operator asked for, and what it cost; not a test.

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
from tests.mutants.handovers import HANDOVER_WORLDS
from tests.mutants.placing import POLICY_WORLDS
from tests.mutants.private import PRIVATE_WORLDS
from tests.mutants.rarely import RARE_WORLDS
from tests.mutants.records import Records
from tests.mutants.scaled import DEMAND_WORLDS
from tests.mutants.small import POD_WORLDS
from tests.mutants.weights import WEIGHT_WORLDS
from twin.trace.lines import AdapterLine, ApiLine, Counts, EngineLine, EventLine, Line, RequestLine, SliceLine

World = Callable[[Path], str]
WORLDS: Mapping[str, World] = {
    **POD_WORLDS,
    **CONTROL_WORLDS,
    **CLUSTER_WORLDS,
    **DEMAND_WORLDS,
    **POLICY_WORLDS,
    **PRIVATE_WORLDS,
    **WEIGHT_WORLDS,
    **HANDOVER_WORLDS,
    **RARE_WORLDS,
}
FILE = Path(__file__).with_name("accounts.txt")
_NAMED = 1
"""Number of adapters whose statuses are written out, the first by name; the others are counted."""
_LONGEST = 40
"""Lines about statuses."""


def account(lines: Sequence[Line]) -> list[str]:
    """Return what a user reads of a run: phases and when, conditions, Events, how it ends, and what it costs."""
    names = sorted({line.object for line in lines if isinstance(line, AdapterLine)})[:_NAMED]
    told = dict.fromkeys(text for name in names for text in _statuses(lines, name))
    sent = (text for name in names for text in _sent(lines, name))
    return [*islice(told, _LONGEST), *islice(sent, _LONGEST), *_events(lines, names), *_ends(lines), *_costs(lines)]


def _statuses(lines: Sequence[Line], name: str) -> Iterator[str]:
    short, phase, published = name.partition("/")[2], "", -1
    for line in lines:
        if isinstance(line, SliceLine) and line.adapter == name and len(line.pods) != published:
            published = len(line.pods)
            where = f", the first at {line.addresses[0]} port {line.port}" if published else ""
            yield f"{short} at {line.t:.0f} s: {published} endpoints in a slice{where}"
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


def _sent(lines: Sequence[Line], name: str) -> Iterator[str]:
    """Yield the loads and unloads of an adapter."""
    namespace, short = name.split("/")
    requests = (line for line in lines if isinstance(line, RequestLine) and line.event == "sent")
    for line in requests:
        space, pod = line.object.split("/")
        if (space, line.adapter) == (namespace, short):
            yield f"{short} at {line.t:.1f} s: {line.verb} on {pod}"


def _ends(lines: Sequence[Line]) -> Iterator[str]:
    """Yield how many adapters end in which phase on how many pods, and which reasons their conditions then have."""
    last = {line.object: line for line in lines if isinstance(line, AdapterLine)}
    counts: Counter[str] = Counter()
    for line in last.values():
        if line.event == "deleted":
            counts["in the end deleted"] += 1
            continue
        counts[f"in the end {line.phase or 'no phase'} on {len(line.instances)} pods"] += 1
        counts.update(f"in the end {kind} {' '.join(why)}".rstrip() for kind, why in line.conditions.items())
    yield from (f"{number} {what}" for what, number in sorted(counts.items()))


def _costs(lines: Sequence[Line]) -> Iterator[str]:
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
            case SliceLine():
                counts[f"slices {line.event}"] += 1
            case EngineLine(event="loaded" | "unloaded"):
                counts[f"adapters {line.event} in engines"] += 1
            case Counts():
                counts.update({f"{name} in all": number for name, number in line.counts.items()})
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
