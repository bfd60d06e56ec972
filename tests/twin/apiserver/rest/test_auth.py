"""Permissions: tokens, RBAC roles in the store, and access reviews."""

from typing import Any

import pytest

from tests.twin.serve.api import ADAPTERS, PODS, Api, on_sockets, pod, served_store
from twin.apiserver.rest.auth.authentication import service_account

ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ROBOT = service_account("default", "robot")


async def _allow(api: Api, *rules: dict[str, Any]) -> None:
    await api.client.post(ROLES, json={"metadata": {"name": "robot"}, "rules": list(rules)})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "robot"}
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
    await api.client.post(BINDINGS, json={"metadata": {"name": "robot"}, "roleRef": reference, "subjects": [subject]})


@on_sockets
async def test_a_request_without_a_good_token_is_unauthorized() -> None:
    async with served_store() as api:
        for token in ("", "Bearer wrong", "Basic x"):
            answer = await api.client.get(PODS, headers={"authorization": token})
            assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")


@on_sockets
async def test_health_and_version_need_no_token() -> None:
    async with served_store() as api:
        del api.client.headers["authorization"]
        assert (await api.client.get("/readyz")).text == "ok"
        assert (await api.client.get("/version")).json()["major"] == "1"
        assert (await api.client.get("/api")).status_code == 401


@on_sockets
async def test_a_request_without_permission_is_forbidden_with_a_real_servers_message() -> None:
    async with served_store() as api, api.client_of(ROBOT) as robot:
        refused = await robot.get(f"{PODS}/x")
        assert (refused.status_code, refused.json()["reason"]) == (403, "Forbidden")
        assert refused.json()["message"] == (
            'pods "x" is forbidden: User "system:serviceaccount:default:robot" cannot get resource "pods" in API group '
            '"" in the namespace "default"'
        )
        everywhere = await robot.get("/api/v1/pods")
        assert everywhere.json()["message"].endswith("at the cluster scope")


@pytest.mark.parametrize(
    ("rule", "method", "path", "code"),
    [
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}, "GET", f"{PODS}/x", 200),
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}, "GET", PODS, 403),
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}, "GET", PODS, 200),
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}, "GET", f"{PODS}?watch=1", 403),
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["x"]}, "GET", f"{PODS}/x", 200),
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["y"]}, "GET", f"{PODS}/x", 403),
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}, "PATCH", f"{PODS}/x/status", 403),
        ({"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}, "PATCH", f"{PODS}/x/status", 200),
        ({"apiGroups": [""], "resources": ["*"], "verbs": ["*"]}, "PATCH", f"{PODS}/x/status", 200),
        ({"apiGroups": ["apps"], "resources": ["pods"], "verbs": ["get"]}, "GET", f"{PODS}/x", 403),
        ({"apiGroups": ["*"], "resources": ["modeladapters"], "verbs": ["list"]}, "GET", ADAPTERS, 200),
    ],
)
@on_sockets
async def test_rbac_rules_allow_exactly_the_named_requests(
    rule: dict[str, Any], method: str, path: str, code: int
) -> None:
    async with served_store() as api, api.client_of(ROBOT) as robot:
        await api.client.post(PODS, json=pod("x"))
        await _allow(api, rule)
        merge = {"content-type": "application/merge-patch+json"} if method == "PATCH" else None
        answer = await robot.request(method, path, headers=merge, json={} if merge else None)
        assert answer.status_code == code


@on_sockets
async def test_a_role_applies_in_its_namespace_only_and_a_cluster_role_where_it_is_bound() -> None:
    async with served_store() as api, api.client_of(ROBOT) as robot:
        await api.client.post("/api/v1/namespaces", json={"metadata": {"name": "other"}})
        await _allow(api, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
        assert (await robot.get("/api/v1/namespaces/other/pods")).status_code == 403
        root = "/apis/rbac.authorization.k8s.io/v1"
        rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
        await api.client.post(f"{root}/clusterroles", json={"metadata": {"name": "reader"}, "rules": [rule]})
        reference = {"kind": "ClusterRole", "name": "reader"}
        group = {"kind": "Group", "name": "system:serviceaccounts:default"}
        body = {"metadata": {"name": "reader"}, "roleRef": reference, "subjects": [group]}
        await api.client.post(f"{root}/clusterrolebindings", json=body)
        assert (await robot.get("/api/v1/pods")).status_code == 200


@on_sockets
async def test_can_i_is_answered_by_the_same_rules() -> None:
    async with served_store() as api, api.client_of(ROBOT) as robot:
        await _allow(api, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
        answers = {}
        for verb in ("list", "delete"):
            attributes = {"verb": verb, "resource": "pods", "namespace": "default"}
            review = await robot.post(REVIEWS, json={"spec": {"resourceAttributes": attributes}})
            answers[verb] = review.json()["status"]["allowed"]
        assert answers == {"list": True, "delete": False}


@on_sockets
async def test_a_requested_service_account_token_works() -> None:
    async with served_store() as api:
        await api.client.post("/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "robot"}})
        made = await api.client.post("/api/v1/namespaces/default/serviceaccounts/robot/token", json={"spec": {}})
        token = made.json()["status"]["token"]
        review = {"spec": {"token": token}}
        answer = await api.client.post("/apis/authentication.k8s.io/v1/tokenreviews", json=review)
        assert answer.json()["status"]["user"]["username"] == "system:serviceaccount:default:robot"
        answer = await api.client.get(PODS, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 403


@on_sockets
async def test_the_administrator_may_impersonate_others() -> None:
    async with served_store() as api:
        as_robot = {"impersonate-user": ROBOT.name}
        assert (await api.client.get(PODS, headers=as_robot)).status_code == 403
        await _allow(api, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
        assert (await api.client.get(PODS, headers=as_robot)).status_code == 200


@on_sockets
async def test_the_observer_gets_verb_and_resource() -> None:
    async with served_store() as api, api.client_of(ROBOT) as robot:
        await _allow(api, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
        await robot.get(PODS)
        await robot.get(f"{PODS}/x")
        requests = [
            (used.attributes.verb, used.attributes.qualified_resource, used.code)
            for used in api.used
            if used.user == ROBOT
        ]
        assert requests == [("list", "pods", 200), ("get", "pods", 403)]


@on_sockets
async def test_an_apply_that_creates_needs_the_permission_to_create() -> None:
    """As on a real server: a role with only `patch` can change Services but not create them."""
    apply = {"content-type": "application/apply-patch+yaml"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    path = "/api/v1/namespaces/default/configmaps/c?fieldManager=robot"
    async with served_store() as api, api.client_of(ROBOT) as robot:
        await _allow(api, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]})
        refused = await robot.patch(path, json=body, headers=apply)
        assert (refused.status_code, "cannot create resource" in refused.json()["message"]) == (403, True)
        await api.client.patch(path, json=body, headers=apply)
        assert (await robot.patch(path, json=body, headers=apply)).status_code == 200
