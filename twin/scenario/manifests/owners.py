"""Owner references in manifests: those to objects that no run can have, and those that form a cycle."""

from collections.abc import Iterator, Mapping, Sequence

from twin.scenario.errors import Note
from twin.scenario.manifests.admission import ACCEPTED
from twin.scenario.manifests.reader import Entry, is_controlled, owners_of

Key = tuple[str, str, str]
"""Kind, namespace and name of an object."""


def notes_on_owners(entries: Sequence[Entry]) -> Iterator[Note]:
    """Yield notes on objects that the garbage collector deletes at once, and on cyclic owners.

    The API server chooses uids, so a reference in a manifest matches no object; its dependent is deleted, in a cluster
    as in the twin, unless the owner's kind is unknown there. Objects with a controller are left to it.
    """
    owners = {_key(entry): _owner_keys(entry) for entry in entries}
    for entry in entries:
        way = _cycle(_key(entry), owners)
        if is_controlled(entry.object):
            consequence = "each is left to its controller, so the run has none of them" if way else ""
        else:
            consequence = _deletion(entry)
        if consequence:
            shape = f"cyclic owners ({' -> '.join(f'{kind} {name}' for kind, _, name in way)}): " if way else ""
            yield entry.note(f"{entry.title}: {shape}{consequence}", ("metadata", "ownerReferences"))


def _deletion(entry: Entry) -> str:
    """Return why the garbage collector deletes an object; empty if it does not."""
    owners = owners_of(entry.object)
    if not owners or any(owner.get("kind") not in ACCEPTED for owner in owners):
        return ""
    names = ", ".join(f"{owner.get('kind')} {owner.get('name')} (uid {owner.get('uid')})" for owner in owners)
    return f"the garbage collector deletes it, as the API server gives its owner another uid: {names}"


def _cycle(start: Key, owners: Mapping[Key, Sequence[Key]]) -> list[Key]:
    """Return the shortest way from an object through its owners back to itself; empty without one."""
    ways, visited = [[start]], set[Key]()
    for way in ways:
        for owner in owners.get(way[-1], ()):
            if owner == start:
                return [*way, owner]
            if owner not in visited:
                visited.add(owner)
                ways.append([*way, owner])
    return []


def _key(entry: Entry) -> Key:
    return entry.kind, entry.namespace, entry.name


def _owner_keys(entry: Entry) -> list[Key]:
    return [(str(owner.get("kind")), entry.namespace, str(owner.get("name"))) for owner in owners_of(entry.object)]
