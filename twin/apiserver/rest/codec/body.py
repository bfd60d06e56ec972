"""Request and response bodies: JSON, YAML and Kubernetes' protobuf."""

from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from twin.apiserver.meta.errors import ApiError, bad_request
from twin.apiserver.rest.codec import protobuf

JSON = "application/json"
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
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        if "yaml" not in media_type:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    try:
        return YAML(typ="safe", pure=True).load(body.decode())
    except (YAMLError, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error
