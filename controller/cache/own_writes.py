"""Changes to an adapter's objects while it is reconciled: the reconcile's own writes need no other reconcile.

A plan is made from a state and executed in full, so a second plan, made from what the first one wrote, has nothing to
do, unless the first one says that it continues (`Plan.continues`). A change is known to be the reconcile's own write
only when the write has returned, and the watch may be faster; so changes wait for the end of the reconcile. Nothing is
late by that: a key is never reconciled twice at a time.
"""

from collections.abc import Callable, Collection

from controller.api.types import Resource

Version = tuple[str, str]
"""UID and resourceVersion of an object."""


def version_of(obj: Resource) -> Version:
    """Return what identifies one version of an object."""
    return obj.metadata.uid, obj.metadata.resource_version


class OwnWrites:
    """Wakes adapters whose objects have changed. `wake` queues an adapter's key."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._wake = wake
        self._changes: dict[str, list[Version]] = {}
        """Changes during the reconcile of each key in progress."""

    def begin(self, key: str) -> None:
        """Note that the key is being reconciled."""
        self._changes[key] = []

    def changed(self, key: str, obj: Resource) -> None:
        """Wake the key, but not yet if it is being reconciled."""
        changes = self._changes.get(key)
        if changes is None:
            self._wake(key)
        else:
            changes.append(version_of(obj))

    def end(self, key: str, written: Collection[Version] = ()) -> None:
        """Note that the reconcile is over; wake the key if anything has changed but what it has `written`."""
        if any(version not in written for version in self._changes.pop(key)):
            self._wake(key)
