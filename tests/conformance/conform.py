"""`make conform`: plays the table to the fake as each recorded release, and lists the differences."""

import sys
from collections import Counter

from tests.conformance import recording
from tests.conformance.compare import Difference, differences
from tests.conformance.play import play_all
from tests.conformance.recording import RecordingError
from tests.conformance.servers import fake_vllm


def main() -> int:
    chosen = sys.argv[1:] or recording.versions()
    total = 0
    for version in chosen:
        try:
            real = recording.read(recording.path_of(version))
        except RecordingError as error:
            print(error, file=sys.stderr)
            return 2
        found = differences(real, play_all(fake_vllm(version), version, lambda _: None))
        total += len(found)
        for difference in found:
            print(difference)
        print(_summary(version, len(real.cases), found))
    return 1 if total else 0


def _summary(version: str, cases: int, found: list[Difference]) -> str:
    groups = Counter(difference.case.split("/")[1] for difference in found)
    affected = len({difference.case for difference in found})
    by_group = ", ".join(f"{name} {count}" for name, count in groups.most_common())
    return f"vLLM {version}: {cases} cases, {affected} differ in {len(found)} places{': ' if found else ''}{by_group}"


if __name__ == "__main__":
    sys.exit(main())
