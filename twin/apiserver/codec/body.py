"""Request and response bodies: JSON, YAML and Kubernetes' protobuf."""

from collections.abc import Iterable
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from twin.apiserver.codec import protobuf
from twin.apiserver.meta.errors import ApiError, bad_request

JSON = "application/json"
_MAX_DEPTH = 100
"""Levels of objects and lists; the rules behind this check follow them recursively."""
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode_json(value: Any) -> bytes:
    """Return a value as JSON."""
    return _encoder.encode(value)


def decode_body(body: bytes, media_type: str) -> Any:
    """Return the value of a request body in JSON, YAML or protobuf.

    Raises:
        ApiError: 400 if the body cannot be decoded, 415 if its media type is not supported.
    """
    if media_type == protobuf.MEDIA_TYPE:
        return protobuf.decode(body)
    if media_type and not media_type.endswith(("json", "yaml")):
        raise ApiError(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format ({media_type}) - accepted "
            "media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )
    try:
        return _shallow(_decoder.decode(body))
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        if "yaml" not in media_type:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    try:
        return _shallow(_json_value(YAML(typ="safe", pure=True).load(body.decode())))
    except RecursionError:
        raise _too_deep() from None
    except (YAMLError, ValueError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def _json_value(value: Any) -> Any:
    """Return a value as JSON has it: YAML also has dates, sets, and keys of any type."""
    return _decoder.decode(_encoder.encode(value))


def _shallow(value: Any) -> Any:
    """Return `value`.

    Raises:
        ApiError: 400 if it is nested too deeply; a real server's limit is 10 000 levels.
    """
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return value
    raise _too_deep()


def _children(value: Any) -> Iterable[Any]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (child for child in children if isinstance(child, (dict, list)))


def _too_deep() -> ApiError:
    return bad_request(f"json: exceeded max depth: this server's limit is {_MAX_DEPTH} levels")
