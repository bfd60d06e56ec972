"""Invalid requests, generated from a server's own OpenAPI document; not a test.

Half of the bodies are as the document says they should be, so that what lies behind the checks is reached; in the rest
something is of another type, missing, nested, huge or no JSON at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st

from fake_vllm.http.messages import Request

_USUAL_TEXT = st.sampled_from(["base", "held", "base:held", "user"])
_USUAL_WHOLE = st.integers(1, 9)
_USUAL_REAL = st.sampled_from([0.25, 0.5, 1.0])
_TEXT = st.text(max_size=12) | st.sampled_from(["", "\0", "\ud800", "a/b", "x" * 3000])
_WHOLE = st.integers(-3, 40) | st.sampled_from([0, -1, 2**31, 2**63, -(2**63), 10**30])
_REAL = st.floats(width=32) | st.sampled_from([-1.0, 0.0, 1e308])
_SCALAR = st.none() | st.booleans() | _WHOLE | _REAL.filter(lambda each: each == each) | _TEXT
ANYTHING = st.recursive(
    _SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
_RAW = st.sampled_from(
    [
        b"",
        b"{",
        b"[" * 5000,
        b'{"a":' * 5000,
        b"\xff\xfe",
        b"null",
        b'"' + b"x" * 20000,
        b'{"prompt": NaN}',
        b'{"n": 1e999}',
        b'{"prompt": "\\ud800"}',
    ]
) | st.binary(max_size=30)
_METHODS = st.sampled_from(["GET", "POST", "POST", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "BREW"])
_HEADERS = st.fixed_dictionaries(
    {"content-type": st.sampled_from([*["application/json"] * 8, "text/plain", "application/json; charset=x", ""])},
    optional={
        "authorization": st.sampled_from([*["Bearer sk-one"] * 4, "bearer", "Basic x", "Bearer \xff"]),
        "x-request-id": st.text(alphabet="ab-\x7f\xe9", max_size=8),
    },
)


def weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return a strategy that draws from these by their weights, which `one_of` does not support."""
    return st.sampled_from([each for weight, each in choices for _ in range(weight)]).flatmap(lambda each: each)


@dataclass(frozen=True)
class Asked:
    """Return a strategy for one of them."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def request(self) -> Request:
        return Request(self.method, self.path, self.headers, self.body)


def of_schema(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for values that the schema allows."""
    if "anyOf" in schema:
        return st.one_of([of_schema(each) for each in schema["anyOf"]])
    match schema.get("type", "anything"):
        case "object":
            return _object(schema)
        case "array":
            return st.lists(of_schema(schema["items"]), max_size=4)
        case "string":
            return weighted((6, _USUAL_TEXT), (1, _TEXT))
        case "integer":
            return weighted((6, _USUAL_WHOLE), (1, _WHOLE))
        case "number":
            return weighted((6, _USUAL_REAL), (1, _REAL.filter(lambda each: each == each and abs(each) < 1e400)))
        case "boolean":
            return st.booleans()
        case "anything":
            return ANYTHING
        case _:
            return st.none()


def _object(schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return required fields and at most three more, so that some bodies have nothing wrong with them."""
    fields = {name: of_schema(each) for name, each in schema.get("properties", {}).items()}
    required = st.fixed_dictionaries({name: fields.pop(name) for name in schema.get("required", ())})
    if not fields:
        return required
    one = st.one_of([st.tuples(st.just(name), each) for name, each in sorted(fields.items())])
    return st.tuples(required, st.lists(one, max_size=3)).map(lambda each: {**each[0], **dict(each[1])})


def bodies(schema: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """Return a strategy for bodies of a route: valid, corrupted, and unrelated ones."""
    good = of_schema(schema)
    spoilt = st.tuples(good, st.sampled_from(sorted(schema["properties"])), ANYTHING).map(
        lambda each: {**each[0], each[1]: each[2]}
    )
    return weighted((4, good.map(_encoded)), (2, spoilt.map(_encoded)), (1, ANYTHING.map(_encoded)), (1, _RAW))


def requests(document: Mapping[str, Any]) -> st.SearchStrategy[Asked]:
    """Return a strategy for requests to the routes of a server, and to other paths."""
    schemas = document.get("components", {}).get("schemas", {})
    paths = {path: _resolved(operations, schemas) for path, operations in document["paths"].items()}
    routes = [_route(path, operations) for path, operations in paths.items()]
    elsewhere = st.builds(Asked, _METHODS, _paths(), _HEADERS, ANYTHING.map(_encoded) | _RAW)
    return weighted(*routes, (2, elsewhere))


def _resolved(value: Any, schemas: Mapping[str, Any]) -> Any:
    """Return part of a document with every reference replaced by its schema."""
    if isinstance(value, list):
        return [_resolved(item, schemas) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _resolved(schemas[value["$ref"].rpartition("/")[2]], schemas)
    return {key: _resolved(item, schemas) for key, item in value.items()}


def _route(path: str, operations: Mapping[str, Any]) -> tuple[int, st.SearchStrategy[Asked]]:
    """Return the weight of a route: six times as much with a body."""
    told = [each["requestBody"] for each in operations.values() if "requestBody" in each]
    sent = bodies(told[0]["content"]["application/json"]["schema"]) if told else _RAW
    methods = st.sampled_from([name.upper() for name in operations]) if told else _METHODS
    return 6 if told else 1, st.builds(Asked, methods, st.just(path), _HEADERS, sent)


def _paths() -> st.SearchStrategy[str]:
    return st.text(max_size=10).map(lambda text: f"/{text}") | st.sampled_from(["/v1", "/v1/models/base", "//", "/v1/"])


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (ValueError, OverflowError):  # a lone surrogate, a number that is too large: as other clients send them
        return repr(value).replace("'", '"').encode("utf-8", "surrogatepass")
