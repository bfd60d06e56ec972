"""Requests that no client sends, and that a fuzzer of bodies does not make."""

from tests.conformance.cases.unusual import adapters, bodies

CASES = (*bodies.CASES, *adapters.CASES)
