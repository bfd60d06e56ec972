"""Contract: what a server refuses from any client, with which messages.

The operator sends none of this, so these requests are sent by hand, to the twin's API and to a real server.
"""

import json
from functools import partial
from typing import Any

import pytest

from tests.contract import http_clients
from tests.contract.http_clients import HttpClient

MAPS = "/api/v1/namespaces/NS/configmaps"
PODS = "/api/v1/namespaces/NS/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/NS/deployments"
ADAPTERS = "/apis/model.aibrix.ai/v1alpha1/namespaces/NS/modeladapters"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


@pytest.fixture(params=["served", "real"])
def world(request: pytest.FixtureRequest) -> Any:
    """Return a context manager that opens a client of the server when the test runs."""
    if request.param == "real":
        return partial(http_clients.server_client, request.getfixturevalue("server"))
    return http_clients.twin_client


def a_map(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, **more}


def a_pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "busybox:1"}]
    body = {"containers": containers, "automountServiceAccountToken": False, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": body}


def a_deployment(**spec: Any) -> dict[str, Any]:
    labels = {"app": "d"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}], **spec},
    }
    body = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": body}


LISTS = [
    ("resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
    ("resourceVersionMatch=Exact&resourceVersion=0", 422, '"exact" is forbidden for resourceVersion "0"'),
    ("resourceVersionMatch=Odd&resourceVersion=1", 422, 'supported values: "Exact", "NotOlderThan", ""'),
    ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
    ("resourceVersion=abc", 400, 'invalid resource version: resourceVersion: Invalid value: "abc"'),
    ("resourceVersion=99999999999", 504, "Too large resource version: 99999999999"),
    ("watch=1&sendInitialEvents=true&allowWatchBookmarks=1", 422, "requires setting resourceVersionMatch to NotOlder"),
    ("watch=1&resourceVersionMatch=NotOlderThan", 422, "is forbidden for watch unless sendInitialEvents is provided"),
    ("fieldSelector=data.x%3D1", 400, '"data.x" is not a known field selector: only "metadata.name", "metadata.name'),
]


@pytest.mark.parametrize(("query", "code", "message"), LISTS, ids=[query for query, _, _ in LISTS])
async def test_contradictory_options_of_lists_are_refused(
    world: HttpClient, query: str, code: int, message: str
) -> None:
    answer = await world.ask("GET", f"{MAPS}?{query}")
    assert answer.status_code == code
    assert message in answer.json()["message"]


async def test_a_version_in_the_future_is_reported_as_clients_expect_it(world: HttpClient) -> None:
    await world.ask("POST", MAPS, a_map())
    for path in (MAPS, f"{MAPS}/a"):
        answer = (await world.ask("GET", f"{path}?resourceVersion=99999999999")).json()
        assert (answer["code"], answer["reason"]) == (504, "Timeout")
        assert answer["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert answer["details"]["retryAfterSeconds"] == 1


@pytest.mark.parametrize("path", [PODS, "/api/v1/namespaces/NS/events", ADAPTERS])
async def test_a_field_that_is_not_selectable_is_refused(world: HttpClient, path: str) -> None:
    answer = await world.ask("GET", f"{path}?fieldSelector=spec.baseModel%3Dx")
    assert (answer.status_code, answer.json()["message"]) == (400, "field label not supported: spec.baseModel")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/api/v1/configmaps"), ("POST", "/api/v1/configmaps"), ("PUT", MAPS), ("POST", f"{MAPS}/a")],
)
async def test_a_path_that_does_not_support_the_verb_changes_nothing(world: HttpClient, method: str, path: str) -> None:
    await world.ask("POST", MAPS, a_map())
    assert (await world.ask(method, path, a_map())).status_code == 405
    assert (await world.ask("GET", f"{MAPS}/a")).status_code == 200


OPTIONS = [
    ("dryRun=Some", 'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]'),
    ("fieldManager=" + "x" * 129, "fieldManager: Too long: may not be more than 128 bytes"),
    (
        "fieldValidation=Odd",
        'fieldValidation: Unsupported value: "Odd": supported values: "", "Ignore", "Strict", "Warn"',
    ),
]


@pytest.mark.parametrize(("query", "message"), OPTIONS, ids=["dryRun", "fieldManager", "fieldValidation"])
async def test_invalid_options_of_writes_are_refused(world: HttpClient, query: str, message: str) -> None:
    answer = await world.ask("POST", f"{MAPS}?{query}", a_map())
    assert answer.status_code == 422
    assert message in answer.json()["message"]
    assert answer.json()["details"]["kind"] == "CreateOptions"


async def test_force_is_only_for_applies(world: HttpClient) -> None:
    await world.ask("POST", MAPS, a_map())
    answer = await world.ask("PATCH", f"{MAPS}/a?force=true", {}, as_type=MERGE)
    assert (answer.status_code, answer.json()["details"]["kind"]) == (422, "PatchOptions")


async def test_a_deletion_has_one_policy(world: HttpClient) -> None:
    await world.ask("POST", MAPS, a_map())
    both = {"propagationPolicy": "Background", "orphanDependents": True}
    answer = await world.ask("DELETE", f"{MAPS}/a", {"apiVersion": "v1", "kind": "DeleteOptions", **both})
    assert answer.status_code == 422
    assert "orphanDependents and deletionPropagation cannot be both set" in answer.json()["message"]
    assert (await world.ask("GET", f"{MAPS}/a")).status_code == 200


async def test_a_body_that_is_neither_json_nor_yaml_nor_protobuf_is_not_read(world: HttpClient) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/cbor"):
        answer = await world.ask("POST", MAPS, '{"metadata":{"name":"a"}}', as_type=media_type)
        assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")


TOO_MUCH = {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}
AN_EVENT = {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}
OBJECTS = [
    (MAPS, a_map(data={"a": 1}), 400, "cannot be handled as a ConfigMap"),
    (MAPS, a_map(metadata={"name": 5}), 400, "cannot be handled as a ConfigMap"),
    (MAPS, a_map(data={"bad key!": "1"}), 422, 'data[bad key!]: Invalid value: "bad key!": a valid config key must'),
    (MAPS, a_map(data={"a": "1"}, binaryData={"a": "AAAA"}), 422, 'data[a]: Invalid value: "a": duplicate of key'),
    (PODS, a_pod(restartPolicy="Sometimes"), 422, 'spec.restartPolicy: Unsupported value: "Sometimes"'),
    (PODS, a_pod(containers=[{"name": "a"}]), 422, "spec.containers[0].image: Required value"),
    (PODS, a_pod(containers=[{"name": "a", "image": "b"}] * 2), 422, 'spec.containers[1].name: Duplicate value: "a"'),
    (
        PODS,
        a_pod(
            containers=[{"name": "a", "image": "b", "resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}]
        ),
        422,
        'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1500m',
    ),
    (DEPLOYMENTS, a_deployment(restartPolicy="Never"), 422, 'restartPolicy: Unsupported value: "Never": supported val'),
    (
        "/apis/policy/v1/namespaces/NS/poddisruptionbudgets",
        {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "maxUnavailable": 1}},
        422,
        "minAvailable and maxUnavailable cannot be both set",
    ),
    (
        MAPS,
        a_map(
            metadata={"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}]}
        ),
        422,
        "/v1, Kind=Event is disallowed from being an owner",
    ),
]


@pytest.mark.parametrize(("path", "sent", "code", "message"), OBJECTS, ids=[message for _, _, _, message in OBJECTS])
async def test_objects_that_break_a_rule_of_their_kind(
    world: HttpClient, path: str, sent: dict[str, Any], code: int, message: str
) -> None:
    answer = await world.ask("POST", path, sent)
    assert answer.status_code == code, answer.text
    assert message in answer.json()["message"]


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
async def test_an_immutable_object_cannot_be_changed_but_deleted(world: HttpClient, kind: str) -> None:
    path = f"/api/v1/namespaces/NS/{kind.lower()}s"
    await world.ask("POST", path, a_map(kind=kind, data={"a": "AAAA"}, immutable=True))
    for patch in ({"data": {"a": "BBBB"}}, {"immutable": None}):
        answer = await world.ask("PATCH", f"{path}/a", patch, as_type=MERGE)
        assert answer.status_code == 422
        assert "field is immutable when `immutable` is set" in answer.json()["message"]
    labelled = await world.ask("PATCH", f"{path}/a", {"metadata": {"labels": {"a": "b"}}}, as_type=MERGE)
    assert labelled.status_code == 200
    assert (await world.ask("DELETE", f"{path}/a")).status_code == 200


async def test_an_apply_to_a_recreated_object_is_refused(world: HttpClient) -> None:
    await world.ask("POST", MAPS, a_map())
    other = a_map(metadata={"name": "a", "uid": "11111111-1111-1111-1111-111111111111"}, data={"a": "b"})
    answer = await world.ask("PATCH", f"{MAPS}/a?fieldManager=me", other, as_type=APPLY)
    assert answer.status_code == 422
    assert "metadata.uid: Invalid value" in answer.json()["message"]
    assert "data" not in (await world.ask("GET", f"{MAPS}/a")).json()


async def test_labels_are_compared_as_numbers(world: HttpClient) -> None:
    for name, level in (("one", "1"), ("two", "2"), ("ten", "10"), ("none", "high")):
        await world.ask("POST", MAPS, a_map(metadata={"name": name, "labels": {"level": level}}))
    above = (await world.ask("GET", f"{MAPS}?labelSelector=level%3E1")).json()["items"]
    assert [item["metadata"]["name"] for item in above] == ["ten", "two"]
    below = (await world.ask("GET", f"{MAPS}?labelSelector=level%3C2")).json()["items"]
    assert [item["metadata"]["name"] for item in below] == ["one"]


async def test_a_list_of_an_exact_state_shows_that_state(world: HttpClient) -> None:
    first = (await world.ask("POST", MAPS, a_map())).json()["metadata"]["resourceVersion"]
    await world.ask("DELETE", f"{MAPS}/a")
    then = (await world.ask("GET", f"{MAPS}?resourceVersion={first}&resourceVersionMatch=Exact")).json()
    assert [item["metadata"]["name"] for item in then["items"] if item["metadata"]["name"] == "a"] == ["a"]


async def test_a_service_and_a_slice_get_their_defaults(world: HttpClient) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}
    made = (await world.ask("POST", "/api/v1/namespaces/NS/services", service)).json()["spec"]
    expected = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster"}
    assert {name: made.get(name) for name in expected} == expected
    slices = "/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices"
    body = {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [], "ports": [{"port": 80}]}
    assert (await world.ask("POST", slices, body)).json()["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]


async def test_a_requested_token_is_valid_for_ten_minutes_at_least(world: HttpClient) -> None:
    accounts = "/api/v1/namespaces/NS/serviceaccounts"
    await world.ask("POST", accounts, {"metadata": {"name": "bot"}})
    made = (await world.ask("POST", f"{accounts}/bot/token", {"spec": {}})).json()
    assert made["spec"]["expirationSeconds"] == 3600
    assert made["spec"]["audiences"]
    short = await world.ask("POST", f"{accounts}/bot/token", {"spec": {"expirationSeconds": 30}})
    assert short.status_code == 422
    assert "may not specify a duration less than 10 minutes" in short.json()["message"]


async def test_a_pod_is_bound_once(world: HttpClient) -> None:
    await world.ask("POST", PODS, a_pod(nodeSelector={"never": "so"}))
    bound = [await world.ask("POST", f"{PODS}/p/binding", _to(node)) for node in ("x", "y")]
    assert [answer.status_code for answer in bound] == [201, 409]
    assert 'pod p is already assigned to node "x"' in bound[1].json()["message"]


def _to(node: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}}


def a_misspelt_deployment() -> dict[str, Any]:
    sent = a_deployment()
    sent["metadata"]["lables"] = {"a": "b"}
    sent["spec"]["replicaz"] = 1
    sent["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"port": 80}, "every": 1}
    return sent


MISSPELT = ("metadata.lables", "spec.template.spec.containers[0].readinessProbe.every", "spec.replicaz")


async def test_fields_that_a_builtin_kind_does_not_have_are_refused_if_a_client_is_strict(world: HttpClient) -> None:
    answer = await world.ask("POST", f"{DEPLOYMENTS}?fieldValidation=Strict", a_misspelt_deployment())
    unknown = ", ".join(f'unknown field "{name}"' for name in MISSPELT)
    message = f'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: {unknown}'
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    await world.ask("POST", MAPS, a_map())
    patch = await world.ask("PATCH", f"{MAPS}/a?fieldValidation=Strict", {"dataa": {}}, as_type=MERGE)
    assert patch.status_code == 422
    assert 'strict decoding error: unknown field "dataa"' in patch.json()["message"]


async def test_unknown_fields_are_dropped_with_a_warning_otherwise(world: HttpClient) -> None:
    answer = await world.ask("POST", DEPLOYMENTS, a_misspelt_deployment())
    assert answer.status_code == 201
    warnings = answer.headers.get_list("warning", split_commas=True)
    assert warnings == [f'299 - "unknown field \\"{name}\\""' for name in MISSPELT]
    stored = answer.json()
    assert "lables" not in stored["metadata"]
    assert "replicaz" not in stored["spec"]


@pytest.mark.parametrize(
    ("path", "sent", "named"),
    [
        (f"{MAPS}/a", a_map(dataa={"a": "b"}), ".dataa"),
        (
            f"{ADAPTERS}/a",
            {
                "apiVersion": "model.aibrix.ai/v1alpha1",
                "kind": "ModelAdapter",
                "metadata": {"name": "a"},
                "spec": {"odd": 1, "podSelector": {"matchLabels": {"a": "b"}}, "artifactURL": "hf://a/b"},
            },
            ".spec.odd",
        ),
    ],
)
async def test_an_apply_of_an_unknown_field_is_refused(
    world: HttpClient, path: str, sent: dict[str, Any], named: str
) -> None:
    answer = await world.ask("PATCH", f"{path}?fieldManager=me", sent, as_type=APPLY)
    kind = f"{sent['apiVersion']}, Kind={sent['kind']}"
    kind = kind if "/" in kind else f"/{kind}"
    message = f"failed to create typed patch object (/a; {kind}): {named}: field not declared in schema"
    assert (answer.status_code, answer.json()["message"]) == (500, message)
    assert (await world.ask("GET", path)).status_code == 404


async def test_the_creator_owns_the_fields_and_an_apply_of_another_manager_conflicts(world: HttpClient) -> None:
    made = await world.ask("POST", f"{MAPS}?fieldManager=maker", a_map(data={"a": "1"}))
    (entry,) = made.json()["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("maker", "Update", "v1")
    assert "f:a" in entry["fieldsV1"]["f:data"]
    other = await world.ask("PATCH", f"{MAPS}/a?fieldManager=me", a_map(data={"a": "2"}), as_type=APPLY)
    message = 'Apply failed with 1 conflict: conflict with "maker" using v1: .data.a'
    assert (other.status_code, other.json()["message"]) == (409, message)


async def test_an_applying_manager_is_named_without_a_version(world: HttpClient) -> None:
    await world.ask("PATCH", f"{MAPS}/a?fieldManager=first", a_map(data={"a": "1"}), as_type=APPLY)
    other = await world.ask("PATCH", f"{MAPS}/a?fieldManager=me", a_map(data={"a": "2"}), as_type=APPLY)
    assert other.json()["message"] == 'Apply failed with 1 conflict: conflict with "first": .data.a'


async def test_fields_can_be_handed_over_to_another_manager(world: HttpClient) -> None:
    made = (await world.ask("POST", f"{MAPS}?fieldManager=maker", a_map(data={"a": "1"}))).json()["metadata"]
    (entry,) = made["managedFields"]
    handed = [{**entry, "manager": "me", "operation": "Apply"}]
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": handed},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["resourceVersion"]},
    ]
    assert (await world.ask("PATCH", f"{MAPS}/a", patch, as_type="application/json-patch+json")).status_code == 200
    mine = await world.ask("PATCH", f"{MAPS}/a?fieldManager=me", a_map(data={"b": "2"}), as_type=APPLY)
    assert mine.json()["data"] == {"b": "2"}


def applied_by_kubectl_itself(value: str) -> dict[str, Any]:
    last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(a_map(data={"a": value}))}
    return a_map(metadata={"name": "a", "annotations": last}, data={"a": value})


async def test_kubectl_takes_over_its_own_client_side_fields(world: HttpClient) -> None:
    await world.ask("POST", f"{MAPS}?fieldManager=kubectl-client-side-apply", applied_by_kubectl_itself("1"))
    applied = await world.ask("PATCH", f"{MAPS}/a?fieldManager=kubectl", a_map(data={"a": "2"}), as_type=APPLY)
    assert applied.json()["data"] == {"a": "2"}


async def test_kubectl_does_not_take_over_fields_of_others(world: HttpClient) -> None:
    await world.ask("POST", f"{MAPS}?fieldManager=kubectl-client-side-apply", applied_by_kubectl_itself("1"))
    await world.ask("PATCH", f"{MAPS}/a?fieldManager=other", {"data": {"a": "3"}}, as_type=MERGE)
    applied = await world.ask("PATCH", f"{MAPS}/a?fieldManager=kubectl", a_map(data={"a": "2"}), as_type=APPLY)
    message = 'Apply failed with 1 conflict: conflict with "other" using v1: .data.a'
    assert (applied.status_code, applied.json()["message"]) == (409, message)
