"""`make conform`: plays the table to the fake as each recorded release, and lists the differences.

Fails on every difference that `comparison/known_differences.py` does not explain, and on entries there that explain
nothing.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.conformance import recording
from tests.conformance.comparison.compare import differences
from tests.conformance.comparison.gate import Verdict, judge, unused
from tests.conformance.comparison.kinds import by_kind
from tests.conformance.comparison.known_differences import KNOWN
from tests.conformance.playing.parallel import play_to_fakes
from tests.conformance.recording import Recording
from tests.conformance.recording_files import RecordingError
from tests.conformance.releases import part_of
from tests.conformance.stories import prefix_cache
from tests.conformance.table import Selection, not_in, starting_with


def main() -> int:
    options = _options()
    try:
        recorded = [recording.read(recording.path_of(version)) for version in options.versions or recording.versions()]
    except RecordingError as error:
        print(error, file=sys.stderr)
        return 2
    chosen = {real.version: _selection(real.version, options.cases) for real in recorded}
    verdicts = _verdicts(recorded, chosen, options.cases)
    for real, verdict in zip(recorded, verdicts, strict=True):
        for line in by_kind(verdict.unexplained) if options.by == "kind" else verdict.unexplained:
            print(line)
        print(_summary(real, chosen[real.version], verdict))
    stale = [] if options.cases or options.versions else unused(KNOWN, verdicts)
    for line in stale:
        print(f"known difference that explains nothing: {line}")
    return 1 if stale or any(verdict.unexplained for verdict in verdicts) else 0


def _selection(version: str, prefix: str) -> Selection:
    """Return the entries that start with `prefix`, of those that the release is recorded for."""
    return starting_with(prefix).where([*part_of(version).digests()])


def _verdicts(recorded: Sequence[Recording], chosen: Mapping[str, Selection], prefix: str) -> list[Verdict]:
    """Play to the fake as each recorded release; the stories of weights are played with the whole table."""
    played = play_to_fakes(chosen)
    told = [real.version for real in recorded if real.version in prefix_cache.FILES.versions()] if not prefix else []
    with ThreadPoolExecutor(len(told) or 1) as pool:  # they wait for their servers
        stories = dict(zip(told, pool.map(prefix_cache.differences, told), strict=True))
    found = ([*differences(real, played[real.version]), *stories.get(real.version, ())] for real in recorded)
    return [judge(real.version, each, KNOWN) for real, each in zip(recorded, found, strict=True)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.conform", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="releases; without any, all that are recorded")
    parser.add_argument("--by", choices=("case", "kind"), default="case", help="order of the differences")
    parser.add_argument("--cases", default="", metavar="PREFIX", help="play only these, such as cases/loading/folder")
    return parser.parse_args()


def _summary(real: Recording, selection: Selection, verdict: Verdict) -> str:
    missing = len(selection.where([*not_in(real.request_digests).digests()]))
    missing_text = f" ({missing} more to be recorded: `make record ONLY=missing`)" if missing else ""
    groups = Counter(difference.case.split("/")[1] for difference in verdict.unexplained)
    by_group = ", ".join(f"{name} {count}" for name, count in groups.most_common())
    return (
        f"vLLM {real.version}: {len(selection) - missing} entries{missing_text}, "
        f"{sum(verdict.explained.values())} differences explained, "
        f"{len(verdict.unexplained)} not{': ' if by_group else ''}{by_group}"
    )


if __name__ == "__main__":
    sys.exit(main())
