"""Bodies whose fields have the wrong type are refused while they are decoded, with the words of a real server."""

from typing import Any

import pytest

from tests.twin.serve.api import ADAPTERS, PODS, Api, adapter, on_sockets, pod, served_store


async def refused(api: Api, path: str, body: Any, *, status: int = 400) -> str:
    """Return the message of a refused create."""
    response = await api.client.post(path, json=body)
    assert response.status_code == status, response.text
    assert response.json()["kind"] == "Status"
    message: str = response.json()["message"]
    return message


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "metadata": (
        {"metadata": "x"},
        "json: cannot unmarshal string into Go struct field Pod.metadata of type v1.ObjectMeta",
    ),
    "labels": (
        {"metadata": {"name": "p", "labels": {"a": 1}}},
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
    ),
    "containers": (
        {"spec": {"containers": "x"}},
        "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
    ),
    "image": (
        {"spec": {"containers": [{"name": "a", "image": 1}]}},
        "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string",
    ),
    "grace": (
        {"spec": {"containers": [], "terminationGracePeriodSeconds": 2**63}},
        "json: cannot unmarshal number 9223372036854775808 into Go struct field "
        "PodSpec.spec.terminationGracePeriodSeconds of type int64",
    ),
    "quantity": (
        {"spec": {"containers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": "abc"}}}]}},
        "quantities must match the regular expression",
    ),
    "time": ({"metadata": {"name": "p", "creationTimestamp": "soon"}}, 'parsing time "soon" as'),
    "port": (
        {"spec": {"containers": [{"name": "a", "readinessProbe": {"httpGet": {"port": 1.5}}}]}},
        "json: cannot unmarshal number into Go value of type int32",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_of_the_wrong_type_is_a_bad_request(name: str) -> None:
    change, text = WRONG[name]

    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            message = await refused(api, PODS, {**pod("p"), **change})
            assert message.startswith('Pod in version "v1" cannot be handled as a Pod: ')
            assert text in message

    story()


def test_metadata_of_a_custom_resource_is_decoded_as_well() -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            message = await refused(api, ADAPTERS, {**adapter("a"), "metadata": ["a"]})
            assert "json: cannot unmarshal array into Go struct field ModelAdapter.metadata" in message

    story()


@pytest.mark.parametrize(
    ("path", "kind", "spec"),
    [
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", {"resourceAttributes": "pods"}),
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", ["x"]),
        ("subjectaccessreviews", "SubjectAccessReview", {"user": "a", "groups": 1.5}),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview", "default"),
    ],
)
def test_an_access_review_with_an_odd_spec_is_a_bad_request(path: str, kind: str, spec: Any) -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
            assert "cannot unmarshal" in await refused(api, f"/apis/authorization.k8s.io/v1/{path}", body)

    story()


def test_a_token_request_with_an_odd_lifetime_is_a_bad_request() -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            path = "/api/v1/namespaces/default/serviceaccounts"
            await api.client.post(path, json={"metadata": {"name": "a"}})
            body = {"spec": {"expirationSeconds": "long"}}
            assert "TokenRequestSpec.spec.expirationSeconds" in await refused(api, f"{path}/a/token", body)

    story()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 200 + "1" + "}" * 200])
def test_deep_json_is_a_bad_request(text: str) -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            response = await api.client.post(PODS, content=text, headers={"content-type": "application/json"})
            assert (response.status_code, "exceeded max depth" in response.text) == (400, True)

    story()


@pytest.mark.parametrize(
    "query",
    [
        "limit=1e9",
        "resourceVersion=" + "9" * 400,
        "resourceVersion=%C2%B2",
        "continue=eyJydiI6IngiLCJzdGFydCI6WzEsMl19",
        "continue=bnVsbA",
    ],
)
def test_an_odd_parameter_of_a_list_is_a_bad_request(query: str) -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            assert (await api.client.get(f"{PODS}?{query}")).status_code == 400

    story()


def test_a_negative_limit_lists_everything() -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            await api.client.post(PODS, json=pod("p"))
            response = await api.client.get(f"{PODS}?limit=-1")
            assert [item["metadata"]["name"] for item in response.json()["items"]] == ["p"]

    story()


def test_nulls_are_the_same_as_absent_fields() -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            body = {**pod("p"), "metadata": {"name": "p", "labels": None, "annotations": {"a": None}}}
            created = (await api.client.post(PODS, json=body)).json()["metadata"]
            assert ("labels" in created, created["annotations"]) == (False, {"a": ""})

    story()


def test_a_patch_that_leaves_a_field_of_the_wrong_type_is_refused() -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            await api.client.post(PODS, json=pod("p"))
            headers = {"content-type": "application/merge-patch+json"}
            response = await api.client.patch(f"{PODS}/p", json={"metadata": {"labels": "x"}}, headers=headers)
            assert response.status_code == 422
            assert "cannot unmarshal string into Go struct field ObjectMeta.metadata.labels" in response.text

    story()


def test_a_warning_about_a_field_with_a_line_break_is_one_header() -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            response = await api.client.post(PODS, json={**pod("p"), "a\r\nb": 1})
            assert response.headers["warning"] == '299 - "unknown field \\"a??b\\""'

    story()


def test_the_namespaces_of_the_cluster_itself_cannot_be_deleted() -> None:
    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            response = await api.client.delete("/api/v1/namespaces/default")
            assert response.status_code == 403
            assert "this namespace may not be deleted" in response.json()["message"]

    story()
