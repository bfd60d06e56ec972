"""Replacement of secrets in manifests by pseudonyms, before anything else reads the manifests.

Run folders are meant to be shared, so secrets must not reach them. Equal secrets get equal pseudonyms, so that the key
in a Deployment's arguments still matches the key of an adapter. The invariants look for the pseudonyms in all output.
"""

import base64
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from formats.artifact_urls import hide_url_secrets

PSEUDONYM = re.compile(r"not-a-secret-\d{4}")
_FLAGS = re.compile(r"--(?:api[-_]key|hf[-_]token)")
_NAMES = re.compile(
    r"(?:^|[-_.])(?:api[-_]?key|access[-_]?key(?:[-_]?id)?|secret(?:[-_]?key)?|token|passwd|password|credentials?)$",
    re.I,
)
_URL_FIELDS = ("artifactURL", "artifact")
_LONG = 8
"""Shorter secrets are replaced only as whole values, because inside longer texts a match may be a coincidence."""
_IDENTIFIERS = ("apiVersion", "kind", "name", "namespace", "labels", "matchLabels", "selector")
"""Never replaced: names and references of objects, even if a secret has the same text."""


class SecretRedactor:
    """Pseudonyms of secrets."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._lines: dict[str, str] = {}

    @property
    def all(self) -> tuple[str, ...]:
        """Return all pseudonyms, in order."""
        return tuple(self._names.values())

    def register(self, secrets: Sequence[str]) -> None:
        """Assign a pseudonym to each secret, unless it has one or is one."""
        reserved = {text for text in secrets if PSEUDONYM.fullmatch(text)} | set(self._names.values())
        for secret in secrets:
            if not secret or secret in self._names:
                continue
            number = len(self._names) + 1
            while f"not-a-secret-{number:04}" in reserved and not PSEUDONYM.fullmatch(secret):
                number += 1
            name = secret if PSEUDONYM.fullmatch(secret) else f"not-a-secret-{number:04}"
            reserved.add(name)
            self._names[secret] = name
        long = sorted((s for s in self._names if len(s) >= _LONG), key=lambda s: (-len(s), s))
        self._lines = {secret: self._names[secret] for secret in long}

    def redact(self, text: str) -> str:
        """Return `text` with secrets replaced: the whole text, and long secrets inside it."""
        if text in self._names:
            return self._names[text]
        for secret, name in self._lines.items():
            if secret in text:
                text = text.replace(secret, name)
        return text

    def replace(self, value: Any, key: str = "") -> Any:
        """Return a copy of a JSON value with every secret replaced."""
        if not self._names or key in _IDENTIFIERS:
            return value
        match value:
            case str():
                return self.redact(value)
            case dict():
                return {name: self.replace(item, str(name)) for name, item in value.items()}
            case list():
                return [self._argument(item) if isinstance(item, str) else self.replace(item) for item in value]
        return value

    def _argument(self, text: str) -> str:
        """Return an argument with secrets replaced, also a short one after the equals sign of a flag."""
        flag, equals, value = text.partition("=")
        if equals and _FLAGS.fullmatch(flag) and value in self._names:
            return f"{flag}={self._names[value]}"
        return self.redact(text)

    def manifest(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Return a Kubernetes object with every secret replaced, including the `data` of a Secret."""
        data = obj.get("data")
        if obj.get("kind") != "Secret" or not isinstance(data, dict):
            return dict(self.replace(obj))
        hidden = {key: self._encoded(value) for key, value in data.items()}
        return {**self.replace({k: v for k, v in obj.items() if k != "data"}), "data": hidden}

    def _encoded(self, value: Any) -> Any:
        text = _decoded(value)
        return base64.b64encode(self.redact(text).encode()).decode() if text else value


def hide_in_urls(value: Any, key: str = "") -> Any:
    """Return a copy of a JSON value without users, passwords and queries in URLs of artifacts.

    They are replaced by texts that differ if they differ, since another query is another artifact.
    """
    match value:
        case str() if key in _URL_FIELDS:
            return hide_url_secrets(value)
        case dict():
            return {name: hide_in_urls(item, str(name)) for name, item in value.items()}
        case list():
            return [hide_in_urls(item, key) for item in value]
    return value


def secrets_of(obj: Any) -> list[str]:
    """Return every secret in a Kubernetes object or adapter template, in order."""
    secrets: list[str] = []
    if isinstance(obj, dict) and obj.get("kind") == "Secret":
        for values in (obj.get("data"), obj.get("stringData")):
            for value in values.values() if isinstance(values, dict) else ():
                secrets.append(_decoded(value) if values is obj.get("data") else str(value))
    secrets += _walk(obj)
    return [text for text in dict.fromkeys(secrets) if text]


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name in ("command", "args") and isinstance(item, list):
                yield from _from_command([str(word) for word in item])
            elif name == "additionalConfig" and isinstance(item, dict):
                yield from (str(v) for k, v in item.items() if _NAMES.search(str(k)) and v is not None)
            elif name == "env" and isinstance(item, list):
                yield from _from_environment(item)
            else:
                yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)


def _from_environment(variables: list[Any]) -> Iterator[str]:
    for variable in variables:
        if isinstance(variable, dict) and _NAMES.search(str(variable.get("name", ""))):
            value = variable.get("value")
            if isinstance(value, str) and not value.startswith("$("):
                yield value


def _from_command(args: list[str]) -> Iterator[str]:
    """Yield the values of `--api-key` and similar flags, also inside a shell command line in one argument."""
    for word in args:
        if _FLAGS.search(word) and (" " in word or "\n" in word):
            try:
                yield from _from_command(shlex.split(word.replace("\\\n", " ")))
            except ValueError:
                yield from re.findall(rf"{_FLAGS.pattern}[=\s]+['\"]?([^\s'\"]+)", word)
    taking = False
    for word in args:
        flag, equals, value = word.partition("=")
        if word.startswith("--"):
            taking = bool(_FLAGS.fullmatch(flag)) and not equals
            if _FLAGS.fullmatch(flag) and equals:
                yield value
        elif taking and not word.startswith("$"):
            yield word


def _decoded(value: Any) -> str:
    """Return the decoded text, or the value itself if it is not base64."""
    try:
        return base64.b64decode(str(value), validate=True).decode()
    except ValueError:
        return str(value)
