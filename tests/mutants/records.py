"""Records of the simulations of this process; not a test."""

import hashlib
from collections.abc import Sequence
from typing import Any

from twin.trace.lines import Line
from twin.trace.recorder import Recorder, encode


class Records:
    """Keeps each record that is closed from now on, until `restore`."""

    def __init__(self) -> None:
        self.kept: list[Sequence[Line]] = []
        self._close = close = Recorder.close

        def close_and_keep(recorder: Recorder, *arguments: Any) -> None:
            close(recorder, *arguments)
            self.kept.append(recorder.lines)

        Recorder.close = close_and_keep  # type: ignore[method-assign]

    def forget(self) -> None:
        """Drop the records so far."""
        self.kept = []

    def digest(self) -> str:
        """Return the digest of the records so far."""
        digest = hashlib.sha256()
        for lines in self.kept:
            digest.update(encode(lines))
        return digest.hexdigest()[:16]

    def restore(self) -> None:
        """Keep no further records."""
        Recorder.close = self._close  # type: ignore[method-assign]
