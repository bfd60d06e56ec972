"""`make record-schema VLLM=0.32.0`: installs that vLLM and keeps the schemas of its request classes."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conformance.fuzz import schema
from tests.conformance.servers.install import install, installation_of

_SCRIPT = Path(__file__).parent / "request_classes.py"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz.record_schema", description=__doc__)
    parser.add_argument("version", metavar="VERSION", help="a release of vLLM, such as 0.32.0")
    version = parser.parse_args().version.removeprefix("v")
    folder = installation_of(version)
    install(folder, version)
    command = [str(folder / "venv/bin/python"), str(_SCRIPT)]
    environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR"}
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    recorded = schema.reduce(json.loads(printed.stdout.splitlines()[-1]), version)
    schema.write(recorded)
    print(f"{len(recorded.routes)} routes of vLLM {version} in {schema.FILES.path(version)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
