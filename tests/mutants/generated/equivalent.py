"""Generated mistakes without a visible effect, each with its reason; not a test."""

from collections.abc import Mapping

EQUIVALENT: Mapping[tuple[str, str, str, str], str] = {
    (
        "cache/selector_index.py",
        "SelectorIndex.add",
        "place not in self._pods",
        "True",
    ): "computes an index again that it has: slower, with the same pods",
    (
        "runtime/informer.py",
        "Informer._remove",
        "len(self._deleted) > _DELETIONS_KEPT",
        "len(self._deleted) >= _DELETIONS_KEPT",
    ): "keeps 4095 deletions and not 4096, which bounds memory",
}
"""(file, function, old text, new text) to the reason."""
