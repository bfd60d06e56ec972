"""Differences between the twin and a real control plane that are accepted, each with its reason."""

from tests.conformance_kubernetes.comparison import Known

KNOWN: tuple[Known, ...] = ()
