"""`make conform-operator`: play the operator's story to two real vLLM servers, record it, and compare it with the twin.

python -m tests.conformance.operator_story VERSION          play to the real servers and record, then compare
python -m tests.conformance.operator_story VERSION --twin   compare the recording with the twin
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conformance.operator_story import served, simulated
from tests.conformance.operator_story.recording import FILES, changes, differences, read, write
from tests.conformance.servers.install import install, installation_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="operator_story", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", help="release of vLLM, such as 0.32.0")
    parser.add_argument("--twin", action="store_true", help="play to the twin only")
    parser.add_argument("--first-address", default="10.89.0.1", help="address of the first pod (default: %(default)s)")
    options = parser.parse_args()
    if not options.twin:
        _record(options.version, options.first_address)
    steps, _ = simulated.play(options.version)
    found = list(differences(read(options.version), changes(steps)))
    print("\n".join((*found, f"vLLM {options.version}: {len(steps)} steps, {len(found)} differences")))
    return 1 if found else 0


def _record(version: str, first_address: str) -> None:
    install(installation_of(version), version)
    logs = Path(tempfile.mkdtemp(prefix="operator-story-logs-"))
    print(f"logs of vLLM, operator and API server: {logs}", flush=True)
    write(version, changes(served.play(version, first_address, logs)))
    print(f"written: {FILES.path(version)}")


if __name__ == "__main__":
    sys.exit(main())
