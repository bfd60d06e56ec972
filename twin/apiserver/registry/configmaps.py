"""Rules of ConfigMaps and Secrets: keys, values and immutability.

Source: `ValidateConfigMap` and `ValidateSecret` in `pkg/apis/core/validation/validation.go`.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator

from twin.apiserver.meta.errors import FieldError, Object, forbidden_field, invalid, too_long
from twin.apiserver.patch.json_patch import json_equal
from twin.apiserver.schema.metadata import MAX_SUBDOMAIN

MAX_BYTES = 1024 * 1024  # keys and values of one object together; core/v1, MaxSecretSize
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_IMMUTABLE = "field is immutable when `immutable` is set"


def admit_config_map(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate a ConfigMap."""
    text, binary = new.get("data") or {}, new.get("binaryData") or {}
    errors += _key_errors("data", text)
    errors += _key_errors("binaryData", binary)
    for key in text.keys() & binary.keys():
        errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    if sum(len(key) + len(value) for key, value in text.items()) > MAX_BYTES:
        errors.append(too_long("", MAX_BYTES))
    errors += _immutability_errors(new, old, "data", "binaryData")
    return new


def admit_secret(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate a Secret and encode its `stringData`."""
    if old is None or "stringData" in new:
        new = _with_encoded_data(new)
    data = new.get("data") or {}
    errors += _key_errors("data", data)
    for key, value in data.items():
        if not isinstance(value, str) or not _is_base64(value):
            errors.append(FieldError(f"data[{key}]", "FieldValueInvalid", "Invalid value: must be base64"))
    if old is not None and new.get("type", "Opaque") != old.get("type", "Opaque"):
        errors.append(invalid("type", new.get("type"), "field is immutable"))
    errors += _immutability_errors(new, old, "data")
    return new


def _key_errors(field: str, data: Object) -> Iterator[FieldError]:
    for key in data:
        if len(key) > MAX_SUBDOMAIN:
            yield invalid(f"{field}[{key}]", key, f"must be no more than {MAX_SUBDOMAIN} characters")
        if not _KEY.fullmatch(key):
            yield invalid(f"{field}[{key}]", key, _KEY_RULE)
        elif key == "." or key.startswith(".."):
            detail = "must not be '.'" if key == "." else "must not start with '..'"
            yield invalid(f"{field}[{key}]", key, detail)


def _immutability_errors(new: Object, old: Object | None, *fields: str) -> Iterator[FieldError]:
    if old is None or not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_field("immutable", _IMMUTABLE)
    yield from (
        forbidden_field(field, _IMMUTABLE) for field in fields if not json_equal(new.get(field), old.get(field))
    )


def _with_encoded_data(secret: Object) -> Object:
    plain = secret.get("stringData") or {}
    data = {key: b64encode(str(value).encode()).decode() for key, value in plain.items()}
    kept = {key: value for key, value in secret.items() if key != "stringData"}
    if data:
        kept["data"] = {**(secret.get("data") or {}), **data}
    return {**kept, "type": secret.get("type", "Opaque")}


def _is_base64(text: str) -> bool:
    try:
        b64decode(text, validate=True)
    except ValueError:
        return False
    return True
