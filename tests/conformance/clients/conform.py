"""`make conform-clients`: drives the clients against the fake, and lists what they do not get as from real vLLM."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from tests.conformance.clients import outcomes
from tests.conformance.clients.driver import Step, drive
from tests.conformance.clients.installation import install
from tests.conformance.clients.proxy import Sent
from tests.conformance.comparison.compare import ABSENT, Difference, different
from tests.conformance.comparison.gate import Known, judge
from tests.conformance.recording_files import RecordingError
from tests.conformance.servers.engines import fake_vllm

_NO_CALLS = "a model with random weights calls no tool"
KNOWN = (
    Known("openai/chat-tool-*", "got.fields.choices[*", _NO_CALLS),
    Known("litellm/chat-tools", "got.fields.choices[*", _NO_CALLS),
    Known("langchain/tools", "got.fields.*", _NO_CALLS),
    Known("langchain/structured-functions", "got", _NO_CALLS),
    Known("litellm/prompt-too-long", "got.message", "the length of the conversation, which depends on its template"),
)
"""Differences that are accepted."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.clients.conform", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="releases; without any, all that are recorded")
    versions = parser.parse_args().versions or outcomes.FILES.versions()
    python = install()
    total = 0
    for version in versions:
        try:
            real = outcomes.read(version)
        except RecordingError as error:
            print(error, file=sys.stderr)
            return 2
        with fake_vllm(version) as engine:
            found = differences(real, outcomes.requests(), drive(engine, python))
        verdict = judge(version, found, KNOWN)
        for difference in verdict.unexplained:
            print(difference)
        total += len(verdict.unexplained)
        print(
            f"vLLM {version}: {len(real)} steps, {len({each.case for each in found})} differ in {len(found)} places,"
            f" {len(verdict.unexplained)} of them without a known reason"
        )
    return 1 if total else 0


def differences(real: Mapping[str, Any], sent: Mapping[str, list[Sent]], steps: list[Step]) -> list[Difference]:
    """Return the places where clients got or sent something else than recorded."""
    played = {step.name: step for step in steps}
    found = [Difference(name, "", real.get(name, ABSENT), ABSENT) for name in real if name not in played]
    for name, step in played.items():
        places = [("", ABSENT, step.outcome)] if name not in real else different(real[name], step.outcome, "got")
        found += [Difference(name, *place) for place in places]
        found += [Difference(name, *place) for place in different(sent.get(name, []), step.sent, "sent")]
    return found


if __name__ == "__main__":
    sys.exit(main())
