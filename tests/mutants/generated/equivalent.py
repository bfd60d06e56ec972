"""Generated mistakes without a visible effect, each with its reason; not a test."""

from collections.abc import Mapping

EQUIVALENT: Mapping[tuple[str, str, str, str], str] = {}
"""(file, function, old text, new text) to the reason."""
