"""`make conform`: plays the table to the fake as each recorded release, and lists the differences."""

import argparse
import sys
from collections import Counter

from tests.conformance import recording
from tests.conformance.comparison.compare import Difference, differences
from tests.conformance.comparison.kinds import by_kind
from tests.conformance.playing.play import play
from tests.conformance.recording import Recording, RecordingError
from tests.conformance.servers.engines import fake_vllm
from tests.conformance.stories import prefix_cache
from tests.conformance.table import Selection, not_in, starting_with


def main() -> int:
    options = _options()
    total = 0
    for version in options.versions or recording.versions():
        try:
            real = recording.read(recording.path_of(version))
        except RecordingError as error:
            print(error, file=sys.stderr)
            return 2
        selection = starting_with(options.cases)
        with fake_vllm(version) as engine:
            found = differences(real, play(engine, version, selection, lambda _: None))
        if not options.cases and version in prefix_cache.versions():
            found += prefix_cache.differences(version)
        total += len(found)
        for line in by_kind(found) if options.by == "kind" else found:
            print(line)
        print(_summary(real, selection, found))
    return 1 if total else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.conform", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="releases; without any, all that are recorded")
    parser.add_argument("--by", choices=("case", "kind"), default="case", help="order of the differences")
    parser.add_argument("--cases", default="", metavar="PREFIX", help="play only these, such as cases/loading/folder")
    return parser.parse_args()


def _summary(real: Recording, selection: Selection, found: list[Difference]) -> str:
    groups = Counter(difference.case.split("/")[1] for difference in found)
    affected = len({difference.case for difference in found})
    by_group = ", ".join(f"{name} {count}" for name, count in groups.most_common())
    missing = len(selection.where([*not_in(real.request_digests).digests()]))
    missing_text = f" ({missing} more to be recorded: `make record ONLY=missing`)" if missing else ""
    return (
        f"vLLM {real.version}: {len(selection) - missing} entries{missing_text}, "
        f"{affected} differ in {len(found)} places{': ' if found else ''}{by_group}"
    )


if __name__ == "__main__":
    sys.exit(main())
