"""Rules of names, labels, annotations, finalizers and owner references, with the messages of a real server.

Source: `k8s.io/apimachinery/pkg/util/validation` and `pkg/api/validation/objectmeta.go`. An update checks only what
has changed: what was valid once stays valid, and the hot path stays short.
"""

import re
from collections.abc import Iterator, Mapping

from twin.apiserver.meta.errors import FieldError, Object, forbidden_field, invalid, too_long

MAX_LABEL = 63  # bytes; DNS label, label value, and the name part of a qualified name
MAX_SUBDOMAIN = 253  # bytes
MAX_ANNOTATIONS = 256 * 1024  # bytes, keys and values of one object together

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def subdomain(name: str) -> Iterator[str]:
    """Yield the errors of a DNS-1123 subdomain (names of most objects)."""
    if len(name) > MAX_SUBDOMAIN:
        yield f"must be no more than {MAX_SUBDOMAIN} bytes"
    if not _SUBDOMAIN.fullmatch(name):
        yield _SUBDOMAIN_RULE


def path_segment(name: str) -> Iterator[str]:
    """Yield the errors of a name that only has to fit into a path (roles and their bindings)."""
    if name in (".", ".."):
        yield f"may not be '{name}'"
    for forbidden in "/%":
        if forbidden in name:
            yield f"may not contain '{forbidden}'"


def dns_label(name: str) -> Iterator[str]:
    """Yield the errors of a DNS-1123 label (namespaces; Services since 1.36, KEP-5311)."""
    if len(name) > MAX_LABEL:
        yield f"must be no more than {MAX_LABEL} bytes"
    if not _DNS_LABEL.fullmatch(name):
        yield _DNS_LABEL_RULE


def qualified_name(key: str) -> Iterator[str]:
    """Yield the errors of a label or annotation key, `[prefix/]name`."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        if not prefix:
            yield "prefix part must be non-empty"
        yield from (f"prefix part {error}" for error in subdomain(prefix) if prefix)
    if not name:
        yield "name part must be non-empty"
    elif len(name) > MAX_LABEL:
        yield f"name part must be no more than {MAX_LABEL} bytes"
    if not _QUALIFIED.fullmatch(name):
        yield _QUALIFIED_RULE


def check_labels(labels: object, field: str, old: Mapping[str, str] | None = None) -> Iterator[FieldError]:
    """Yield the errors of labels that are new or changed compared to `old`."""
    if not isinstance(labels, dict):
        yield invalid(field, labels, "must be a map of strings")
        return
    for key, value in labels.items():
        if old is not None and old.get(key) == value:
            continue
        yield from (invalid(field, key, error) for error in qualified_name(key))
        if not isinstance(value, str):
            yield invalid(field, value, "must be a string")
        elif len(value) > MAX_LABEL:
            yield invalid(field, value, f"must be no more than {MAX_LABEL} bytes")
        elif value and not _QUALIFIED.fullmatch(value):
            yield invalid(field, value, _VALUE_RULE)


def check_annotations(annotations: object, old: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield the errors of new annotation keys, and of the total size."""
    field = "metadata.annotations"
    if not isinstance(annotations, dict):
        yield invalid(field, annotations, "must be a map of strings")
        return
    size = 0
    for key, value in annotations.items():
        if not isinstance(value, str):
            yield invalid(field, value, f"the value of {key} must be a string")
            continue
        size += len(key) + (len(value) if value.isascii() else len(value.encode()))
        if key not in old:
            yield from (invalid(field, key, error) for error in qualified_name(key.lower()))
    if size > MAX_ANNOTATIONS:
        yield too_long(field, MAX_ANNOTATIONS)


def check_finalizers(new: Object, old: Object | None) -> Iterator[FieldError]:
    """Yield the errors of finalizer names, and of finalizers added during deletion."""
    field = "metadata.finalizers"
    finalizers = new.get("finalizers") or []
    before = (old.get("finalizers") if old else None) or []
    added = [name for name in finalizers if name not in before]
    for name in added:
        yield from (invalid(field, name, error) for error in qualified_name(name))
    if added and old is not None and "deletionTimestamp" in old:
        names = ", ".join(f'"{name}"' for name in added)
        yield forbidden_field(
            field,
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}",
        )


def check_owners(owners: object) -> Iterator[FieldError]:
    """Yield the errors of owner references: incomplete ones, and more than one controller."""
    field = "metadata.ownerReferences"
    if not isinstance(owners, list):
        yield invalid(field, owners, "must be a list")
        return
    controllers = []
    for owner in owners:
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                detail = "version must not be empty" if name == "apiVersion" else "must not be empty"
                yield invalid(f"{field}.{name}", "", detail)
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            yield invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
    if len(controllers) > 1:
        yield invalid(
            field,
            owners,
            "Only one reference can have Controller set to true. Found "
            f'"true" in references for {controllers[0]} and {controllers[1]}',
        )


def check_update(new: Object, old: Object) -> list[FieldError]:
    """Return the errors of `metadata` in an update; only changes are checked."""
    errors: list[FieldError] = []
    if (labels := new.get("labels")) is not None and labels is not old.get("labels"):
        errors += check_labels(labels, "metadata.labels", old.get("labels"))
    if (annotations := new.get("annotations")) is not None and annotations is not old.get("annotations"):
        errors += check_annotations(annotations, old.get("annotations") or {})
    if new.get("finalizers") is not old.get("finalizers"):
        errors += check_finalizers(new, old)
    if (owners := new.get("ownerReferences")) is not None and owners is not old.get("ownerReferences"):
        errors += check_owners(owners)
    return errors


def check_create(meta: Object) -> list[FieldError]:
    """Return the errors of a new object's `metadata`, except its name, whose rule depends on the kind."""
    errors: list[FieldError] = []
    if meta.get("labels") is not None:
        errors += check_labels(meta["labels"], "metadata.labels")
    if meta.get("annotations") is not None:
        errors += check_annotations(meta["annotations"], {})
    if meta.get("finalizers"):
        errors += check_finalizers(meta, None)
    if meta.get("ownerReferences") is not None:
        errors += check_owners(meta["ownerReferences"])
    return errors
