"""Refusals by a server that is well, storms of conflicts, silent watches, and versions that go back."""

import asyncio

import pytest
from pydantic import ValidationError

from controller.api.types import NODES, Node, ObjectMeta
from controller.client.interface import ClientError, Expired, Forbidden, Invalid, Unavailable
from tests.twin.faults.conftest import Server
from twin.scenario.faults.api import ApiForbidden, ApiInvalid, ConflictStorm
from twin.world.api_refusals import ByAdmission, ByQuota, ByRbac, ByValidation, Refusal, RefusedRequest

PATCH = RefusedRequest("patch", "modeladapters", "model.aibrix.ai", "default", "sql", "status")
CREATE = RefusedRequest("create", "endpointslices", "discovery.k8s.io", "default", "sql-1")
LIST = RefusedRequest("list", "pods", "", "", "")
A_NODE = Node(metadata=ObjectMeta(name="new"))
ACCOUNT = '"system:serviceaccount:lora-system:lora-controller"'


@pytest.mark.parametrize(
    ("refusal", "request_", "code", "message"),
    [
        (
            ByRbac(),
            PATCH,
            403,
            f'modeladapters.model.aibrix.ai "sql" is forbidden: User {ACCOUNT} cannot patch resource '
            '"modeladapters/status" in API group "model.aibrix.ai" in the namespace "default"',
        ),
        (
            ByRbac(),
            LIST,
            403,
            f'pods is forbidden: User {ACCOUNT} cannot list resource "pods" in API group "" at the cluster scope',
        ),
        (
            ByAdmission("no GPUs left"),
            CREATE,
            403,
            'admission webhook "policy.example.com" denied the request: no GPUs left',
        ),
        (
            ByValidation("spec.replicas", "must be odd"),
            PATCH,
            422,
            'ModelAdapter.model.aibrix.ai "sql" is invalid: spec.replicas: Invalid value: "": must be odd',
        ),
    ],
)
def test_a_refusal_has_the_words_of_a_real_server(
    refusal: Refusal, request_: RefusedRequest, code: int, message: str
) -> None:
    error = refusal.error(request_)
    assert (error.code, error.status["message"]) == (code, message)


def test_a_quota_counts_what_there_is(server: Server) -> None:
    meta = {"name": "first", "labels": {"kubernetes.io/service-name": "sql"}}
    server.store.create("endpointslices.discovery.k8s.io", {"metadata": meta, "addressType": "IPv4", "endpoints": []})
    counted = "count/endpointslices.discovery.k8s.io"
    assert ByQuota(server.store).error(CREATE).status["message"] == (
        f'endpointslices.discovery.k8s.io "sql-1" is forbidden: exceeded quota: objects, requested: {counted}=1, '
        f"used: {counted}=1, limited: {counted}=1"
    )


@pytest.mark.parametrize(("refusal", "error"), [(ByAdmission("no"), Forbidden), (ByValidation("spec", "no"), Invalid)])
def test_a_refused_write_is_not_stored(server: Server, refusal: Refusal, error: type[ClientError]) -> None:
    async def story() -> None:
        server.faults.add(0, server.rule(403, refusal=refusal))
        with pytest.raises(error):
            await server.cluster.create(NODES, A_NODE)

    server.play(story)
    assert list(server.store.list("nodes").items) == []


def test_frozen_watches_are_silent_and_catch_up_at_the_end(server: Server) -> None:
    async def story() -> None:
        watching = asyncio.create_task(server.listen())
        await asyncio.sleep(1)
        server.faults.freeze_watches(0, until=10.0)
        server.node("one")
        await asyncio.sleep(5)
        assert server.news == []
        assert await server.names() == ["one"]
        await asyncio.sleep(5)
        watching.cancel()

    server.play(story)
    assert [(type_, name) for _, type_, name in server.news] == [("ADDED", "one")]
    assert server.news[0][0] == pytest.approx(10.0, abs=0.1)


def test_after_a_rollback_versions_are_lower_and_old_ones_are_refused(server: Server) -> None:
    async def story() -> None:
        server.node("one")
        for number in range(20):
            server.label("one", str(number))
        before = server.store.resource_version
        watching = asyncio.create_task(server.listen())
        await asyncio.sleep(1)
        server.faults.roll_back_versions()
        with pytest.raises(Unavailable):
            await watching
        assert int(server.store.resource_version) < int(before)
        with pytest.raises(Expired, match="Too large resource version"):
            await server.listen(before)
        node = await server.cluster.get(NODES, "", "one")
        assert int(node.metadata.resource_version) <= int(server.store.resource_version)
        assert node.metadata.labels["look"] == "19"

    server.play(story)


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        (ApiForbidden, {"because": "rbac", "message": "no"}, "only a webhook has a message"),
        (ApiForbidden, {"because": "quota", "verbs": ["list"]}, "a quota does not refuse reads"),
        (ApiForbidden, {"because": "opa"}, "because"),
        (ApiForbidden, {"because": "admission", "message": ""}, "message"),
        (ApiInvalid, {"field": "spec replicas"}, "field"),
        (ConflictStorm, {"every": "0s"}, "every"),
        (ConflictStorm, {"resource": "leases"}, "resource"),
    ],
)
def test_bad_input_is_refused(kind: type, fields: dict[str, object], problem: str) -> None:
    names = {ApiForbidden: "api-forbidden", ApiInvalid: "api-invalid", ConflictStorm: "conflict-storm"}
    with pytest.raises(ValidationError, match=problem):
        kind(kind=names[kind], **fields)
