"""`make record-schema VLLM=0.32.0`: installs that vLLM outside the tree and keeps the schema of its request bodies."""

import argparse
import sys
import tempfile
from pathlib import Path

import httpx

from tests.conformance.fuzz import schema
from tests.conformance.profiles import PROFILES
from tests.conformance.servers.engines import real_vllm, serving
from tests.conformance.servers.install import install, installation_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz.record_schema", description=__doc__)
    parser.add_argument("version", metavar="VERSION", help="a release of vLLM, such as 0.32.0")
    version = parser.parse_args().version.removeprefix("v")
    folder = installation_of(version)
    install(folder, version)
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as name,
        real_vllm(folder) as engine,
        serving(engine, PROFILES["lora"], Path(name) / "server.log") as running,
    ):
        document = httpx.get(f"{running.url}/openapi.json", timeout=60, trust_env=False).json()
    recorded = schema.reduce(document, version)
    schema.write(recorded)
    print(f"{len(recorded.routes)} routes of vLLM {version} in {schema.path_of(version)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
