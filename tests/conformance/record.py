"""`make record VLLM=0.32.0`: installs that vLLM outside the tree, plays the table to it, and writes the recording.

The recording is written after each server, so that an interrupted run goes on with `ONLY=missing`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conformance import recording
from tests.conformance.playing.play import play
from tests.conformance.recording import Recording
from tests.conformance.recording_files import RecordingError
from tests.conformance.releases import part_of
from tests.conformance.servers.engines import real_vllm
from tests.conformance.servers.install import install, installation_of
from tests.conformance.table import TABLE, Selection, not_in, starting_with


def main() -> int:
    options = _options()
    version = options.version.removeprefix("v")
    path = recording.path_of(version)
    made = Recording(version, {}, {})
    if path.exists() and (options.only or options.cases):
        try:
            made = recording.read(path)
        except RecordingError as error:
            print(error, file=sys.stderr)
            return 2
    selection = _selection(options, made)
    folder = installation_of(version)
    install(folder, version)
    names = part_of(version).digests()
    made = recording.merge(made, Recording(version, {}, {}), names)
    with real_vllm(folder) as engine, tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        for part in selection.parts():
            made = recording.merge(made, play(engine, version, part, Path(scratch), _report), names)
            recording.write(made, path)
    recording.write(made, path)
    print(f"{len(selection)} of {len(names)} entries played to vLLM {version}; {len(made.request_digests)} in {path}")
    return 0


def _selection(options: argparse.Namespace, made: Recording) -> Selection:
    chosen = not_in(made.request_digests) if options.only else TABLE
    return chosen.where([*starting_with(options.cases).digests()]).where([*part_of(made.version).digests()])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.record", description=__doc__)
    parser.add_argument("version", metavar="VERSION", help="a release of vLLM, such as 0.32.0")
    parser.add_argument("--only", choices=("missing",), help="play what the recording lacks or asked otherwise")
    parser.add_argument("--cases", default="", metavar="PREFIX", help="play only these again, such as cases/loading")
    return parser.parse_args()


def _report(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
