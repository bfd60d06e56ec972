"""OpenAPI v2 in protobuf has the content of the JSON document; client-go reads it in `test_go_clients.py`."""

from collections import defaultdict
from typing import Any

import msgspec

from tests.twin.serve.api import on_sockets, served_store

PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
ADAPTER = "ai.aibrix.model.v1alpha1.ModelAdapter"
PATH = "/apis/model.aibrix.ai/v1alpha1/namespaces/{namespace}/modeladapters/{name}"


def fields(data: bytes) -> dict[int, list[Any]]:
    """Return the fields of a message by number; fields with a length are bytes."""
    values: dict[int, list[Any]] = defaultdict(list)
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            values[number].append(varint())
            continue
        size = varint() if wire == 2 else 8
        values[number].append(data[at : at + size])
        at += size
    return values


def named(entries: list[bytes]) -> dict[str, dict[int, list[Any]]]:
    """Return the messages of a named list by name."""
    return {fields(entry)[1][0].decode(): fields(fields(entry)[2][0]) for entry in entries}


@on_sockets
async def test_the_protobuf_document_has_the_content_of_the_json_document() -> None:
    async with served_store() as api:
        in_json = (await api.client.get("/openapi/v2")).json()
        answer = await api.client.get("/openapi/v2", headers={"accept": PROTOBUF})
    assert answer.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    document = fields(answer.content)
    definitions = named(fields(document[9][0])[1])
    assert set(definitions) == set(in_json["definitions"])
    paths = named(fields(document[8][0])[2])
    assert set(paths) == set(in_json["paths"])
    assert fields(paths[PATH][7][0])[5] == [in_json["paths"][PATH]["patch"]["operationId"].encode()]


@on_sockets
async def test_a_schema_in_protobuf_has_types_limits_and_which_kind_it_is_of() -> None:
    async with served_store() as api:
        document = (await api.client.get("/openapi/v2")).json()["definitions"][ADAPTER]
        answer = await api.client.get("/openapi/v2", headers={"accept": PROTOBUF})
    adapter = named(fields(fields(answer.content)[9][0])[1])[ADAPTER]
    properties = named(fields(adapter[25][0])[1])
    assert properties.keys() == document["properties"].keys()
    assert properties["metadata"][1] == [b"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]
    spec = named(fields(properties["spec"][25][0])[1])
    url = document["properties"]["spec"]["properties"]["artifactURL"]
    assert (fields(spec["artifactURL"][22][0])[1], spec["artifactURL"][11]) == ([b"string"], [url["maxLength"]])
    kind = named(adapter[31])["x-kubernetes-group-version-kind"][2][0]
    assert msgspec.json.decode(kind) == [{"group": "model.aibrix.ai", "version": "v1alpha1", "kind": "ModelAdapter"}]
