"""Options of one write to the store."""

from typing import NamedTuple


class WriteOptions(NamedTuple):
    """Options of one write.

    Attributes:
        manager: field manager of the client.
        subresource: `status`, `scale`, or empty for the main resource.
        dry_run: compute the result and store nothing.
    """

    manager: str = ""
    subresource: str = ""
    dry_run: bool = False
