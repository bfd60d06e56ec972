"""Differences between the fake and real vLLM that are accepted, each with its reason. Short on purpose."""

from tests.conformance.comparison.gate import Known

KNOWN: tuple[Known, ...] = ()
