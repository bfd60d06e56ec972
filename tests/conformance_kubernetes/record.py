"""`make record-kubernetes`: plays the stories to a real control plane and writes the recordings."""

import argparse
import asyncio
import sys

from tests.conformance_kubernetes import recording
from tests.conformance_kubernetes.control_plane import binaries, run_control_plane, version
from tests.conformance_kubernetes.play import play_in_control_plane
from tests.conformance_kubernetes.stage import Step, Story
from tests.conformance_kubernetes.stories import STORIES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance_kubernetes.record", description=__doc__)
    parser.add_argument("stories", nargs="*", metavar="PREFIX", help="play only stories that are called so")
    options = parser.parse_args()
    try:
        folder = binaries()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    release = version(folder)

    def write(story: Story, steps: list[Step]) -> None:
        recording.write(release, story.name, steps)
        print(f"{story.name}: {len(steps)} steps", flush=True)

    chosen = [story for story in STORIES if not options.stories or story.name.startswith(tuple(options.stories))]
    with run_control_plane(folder) as control_plane:
        asyncio.run(play_in_control_plane(control_plane, chosen, write))
    return 0


if __name__ == "__main__":
    sys.exit(main())
