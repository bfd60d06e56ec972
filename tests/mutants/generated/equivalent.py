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
    (
        "requests/engine_records.py",
        "EngineRecords.store",
        "current is None or current.models is not adapters.adapters or current.unclear",
        "True",
    ): "makes an equal inventory again instead of keeping the one that it has",
    **dict.fromkeys(
        (
            ("runtime/informer.py", "Informer._remove", "self._deleted.pop(key, None)", "pass"),
            (
                "runtime/informer.py",
                "Informer._remove",
                "self._deleted.pop(key, None)",
                "self._deleted.get(key, None)",
            ),
        ),
        "a key that is deleted twice is the older of 4096 that are kept",
    ),
    (
        "runtime/workqueue.py",
        "WorkQueue.add_rate_limited",
        "self._metrics is not None",
        "True",
    ): "the operator's own queue always has metrics",
    (
        "cache/secret_watcher.py",
        "SecretWatcher._update",
        "return",
        "pass",
    ): "looks at adapters once more, without anything to change",
    (
        "cache/occupancy.py",
        "Occupancy._replace",
        "pods",
        "True",
    ): "keeps an empty set instead of none, which counts the same",
}
"""(file, function, old text, new text) to the reason."""
