"""`make conform-kubernetes`: plays the stories in the twin and lists where it differs from a real control plane.

Fails on every difference that `known_differences.py` does not explain, and on entries there that explain nothing.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.conformance_kubernetes import recording
from tests.conformance_kubernetes.comparison import Difference, differences, judge
from tests.conformance_kubernetes.known_differences import KNOWN
from tests.conformance_kubernetes.play import play_in_twin
from tests.conformance_kubernetes.stage import Story
from tests.conformance_kubernetes.stories import STORIES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance_kubernetes.conform", description=__doc__)
    parser.add_argument("stories", nargs="*", metavar="PREFIX", help="play only stories that are called so")
    parser.add_argument("--by", choices=("story", "place"), default="story", help="order of the differences")
    options = parser.parse_args()
    chosen = [story for story in STORIES if not options.stories or story.name.startswith(tuple(options.stories))]
    failed = False
    for version in recording.versions():
        unexplained, counts = judge(found(version, chosen), KNOWN)
        for line in by_place(unexplained) if options.by == "place" else unexplained:
            print(line)
        stale = [entry for entry, count in counts.items() if not count and not options.stories]
        for entry in stale:
            print(f"known difference that explains nothing: {entry.story} / {entry.place}")
        print(
            f"Kubernetes {version}: {len(chosen)} stories, {sum(counts.values())} differences explained by "
            f"{sum(count > 0 for count in counts.values())} entries, {len(unexplained)} not"
        )
        failed = failed or bool(unexplained or stale)
    return int(failed)


def by_place(items: Sequence[Difference]) -> list[str]:
    """Return one line for each kind of object and field, the most frequent first, with an example."""
    groups: dict[str, list[Difference]] = {}
    for item in items:
        kind, _, field = item.place.partition(": ")
        groups.setdefault(f"{kind.split(' ')[0]}: {field}", []).append(item)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return [f"{len(members):4} {place}, such as {members[0]}" for place, members in ordered]


def found(version: str, stories: Sequence[Story]) -> list[Difference]:
    """Return all differences between the twin and the recordings of a release."""
    recorded = recording.read(version)
    return [
        difference
        for story in stories
        for difference in differences(story.name, recorded.get(story.name, ()), play_in_twin(story))
    ]


if __name__ == "__main__":
    sys.exit(main())
