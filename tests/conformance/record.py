"""`make record VLLM=0.32.0`: installs that vLLM outside the tree, plays the table to it, and writes the recording."""

import sys
from pathlib import Path

from tests.conformance import recording
from tests.conformance.install import install, installation_of
from tests.conformance.play import Selection, play
from tests.conformance.servers import real_vllm


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m tests.conformance.record VERSION, such as 0.32.0", file=sys.stderr)
        return 2
    version = sys.argv[1].removeprefix("v")
    folder = installation_of(version)
    install(folder, version)
    made = play(real_vllm(folder), version, Selection.starting_with(""), _report)
    path = recording.path_of(version)
    recording.write(made, path)
    print(f"{len(made.cases)} cases of vLLM {version} in {path.relative_to(Path.cwd())}")
    return 0


def _report(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
