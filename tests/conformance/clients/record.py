"""`make record-clients VLLM=0.32.0`: drives the clients against that vLLM; keeps what they sent and what they got."""

import argparse
import sys

from tests.conformance.clients import outcomes
from tests.conformance.clients.driver import drive
from tests.conformance.clients.installation import install
from tests.conformance.servers import install as vllm
from tests.conformance.servers.engines import real_vllm


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.clients.record", description=__doc__)
    parser.add_argument("version", metavar="VERSION", help="a release of vLLM, such as 0.32.0")
    version = parser.parse_args().version.removeprefix("v")
    folder = vllm.installation_of(version)
    vllm.install(folder, version)
    python = install()
    with real_vllm(folder) as engine:
        steps = drive(engine, python)
    outcomes.write(version, steps)
    print(f"{len(steps)} steps of clients against vLLM {version} in {outcomes.FILES.path(version)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
