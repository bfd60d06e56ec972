"""The two routes to an engine: routes of a pod, requests and responses."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from controller.api.artifact import artifact_facts
from controller.api.spec import artifact_of, is_aibrix_folder, lora_path
from controller.api.types import Container, LocalReference, ModelAdapterSpec, ObjectMeta, OwnerReference, Pod, PodSpec
from controller.cache.pod_index import EMPTY, PodIndex
from controller.cache.pod_view import pod_view
from controller.cache.routing import pods_able_to_load, rank_problem, route_port, routing_problem, uses_sidecar
from controller.engine.client import Address, EngineClient, LoadOrder
from controller.engine.errors import AlreadyLoaded, EngineError, Scope, failure
from controller.engine.flavors import SGLANG, VLLM, EngineFlavor
from controller.engine.sidecar_codes import CODES
from controller.settings import Settings
from controller.sidecar.app import error_response
from controller.sidecar.artifacts.url import digest_of
from controller.sidecar.errors import Code, SidecarError
from tests.controller.builders import a_pod, an_adapter

ON, OFF = Settings(), Settings(enable_runtime_sidecar=False)
PLAIN, BESIDE = a_pod("plain"), replace(a_pod("beside"), sidecar=True, owned=True)


def a_spec(url: str = "hf://acme/sql", secret: str = "") -> ModelAdapterSpec:
    reference = LocalReference(name=secret) if secret else None
    return msgspec.structs.replace(an_adapter().spec, artifact_url=url, credentials_secret_ref=reference)


def test_requests_go_through_the_sidecar_if_the_pod_has_one_and_the_flag_is_on() -> None:
    assert [uses_sidecar(pod, ON) for pod in (PLAIN, BESIDE)] == [False, True]
    assert not uses_sidecar(BESIDE, OFF)
    assert [route_port(pod, ON) for pod in (PLAIN, BESIDE)] == [8000, 8080]
    assert route_port(BESIDE, OFF) == 8000


@pytest.mark.parametrize(
    ("limits", "rank", "serving", "largest"),
    [
        ((8, 32, 16), "64", (), "at most 32"),
        ((8, 32, 16), "32", (), ""),
        ((8, 0), "64", (), ""),
        ((8,), "64", ("pod-0",), ""),
        ((), "64", (), ""),
        ((8,), "", (), ""),
    ],
    ids=["above all", "one takes it", "a limit is unknown", "it is served", "no pods", "no rank"],
)
def test_a_rank_above_every_limit_is_a_problem_that_names_the_largest(
    limits: tuple[int, ...], rank: str, serving: tuple[str, ...], largest: str
) -> None:
    pods = [replace(a_pod(f"pod-{number}"), max_lora_rank=limit) for number, limit in enumerate(limits)]
    adapter = an_adapter(instances=serving)
    spec = msgspec.structs.replace(adapter.spec, additional_config={"rank": rank})
    stated = msgspec.structs.replace(adapter, spec=spec)
    problem = rank_problem(stated, artifact_facts(stated), PodIndex(pods), ON)
    assert (problem is not None) == bool(largest)
    assert problem is None or largest in problem.message


def test_a_view_has_the_sidecar_and_the_controller_of_its_pod() -> None:
    engine, sidecar = Container(name="vllm"), Container(name="aibrix-runtime")
    owner = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="a", uid="1", controller=True)
    pod = Pod(metadata=ObjectMeta(name="a", owner_references=(owner,)), spec=PodSpec(containers=(engine, sidecar)))
    assert (pod_view(pod, "").sidecar, pod_view(pod, "").owned) == (True, True)
    bare = Pod(metadata=ObjectMeta(name="a"), spec=PodSpec(containers=(engine,)))
    assert (pod_view(bare, "").sidecar, pod_view(bare, "").owned) == (False, False)


@pytest.mark.parametrize(
    ("label", "args", "spoken", "room"),
    [
        ("", ("--max-loras", "4"), VLLM, (4, 4)),
        ("vllm", ("--max-loras=4", "--max-cpu-loras", "9"), VLLM, (4, 9)),
        ("another", (), VLLM, (1, 1)),
        ("sglang", ("--max-cpu-loras", "4"), SGLANG, (8, 1 << 30)),
        ("sglang", ("--max-loras-per-batch", "2", "--max-loaded-loras=6"), SGLANG, (2, 6)),
    ],
)
def test_a_view_has_the_kind_of_engine_and_its_capacity(
    label: str, args: tuple[str, ...], spoken: EngineFlavor, room: tuple[int, int]
) -> None:
    labels = {"model.aibrix.ai/engine": label} if label else {}
    spec = PodSpec(containers=(Container(name="engine", args=args),))
    observed = pod_view(Pod(metadata=ObjectMeta(name="a", labels=labels), spec=spec), "")
    assert observed.flavor is spoken
    assert (observed.max_loras, observed.max_cpu_loras) == room


@pytest.mark.parametrize("spec", [a_spec("s3://b/x/"), a_spec("tos://b/x/"), a_spec("gs://b/x/"), a_spec(secret="key")])
def test_artifacts_that_need_the_sidecar_go_to_pods_that_have_one(spec: ModelAdapterSpec) -> None:
    assert list(pods_able_to_load(spec, PodIndex([PLAIN, BESIDE]), ON)) == [BESIDE]
    assert routing_problem(spec, PodIndex([PLAIN, BESIDE]), ON) is None
    assert routing_problem(spec, EMPTY, ON) is None, "there may be some soon"
    for problem in (
        routing_problem(spec, PodIndex([PLAIN]), ON),
        routing_problem(spec, PodIndex([BESIDE]), OFF),
        routing_problem(spec, EMPTY, OFF),
    ):
        assert problem is not None
        assert problem.reason == "UnsupportedArtifact"


def test_public_artifacts_can_be_loaded_on_every_pod() -> None:
    for url in ("hf://acme/sql", "https://host/sql.zip", "/models/sql"):
        assert list(pods_able_to_load(a_spec(url), PodIndex([PLAIN]), OFF)) == [PLAIN]
        assert routing_problem(a_spec(url), PodIndex([PLAIN]), OFF) is None


@pytest.mark.parametrize(
    "url", ["hf://acme/sql", "huggingface://acme/sql@v1", "s3://bucket/sql/", "https://host/a.zip"]
)
def test_both_routes_identify_an_artifact_by_the_same_hash(url: str) -> None:
    root = f"/tmp/aibrix/adapters/{digest_of(url)}/{'a' * 40}"
    assert artifact_of(root) == artifact_of(lora_path(url))
    assert artifact_of(root) != artifact_of(lora_path(url + "2"))


def test_the_operator_has_every_code_of_the_sidecar() -> None:
    own_words = {"engine_refused", "engine_timeout", "name_taken"}
    assert CODES.keys() == {code.word for code in Code} - own_words
    for code in Code:
        if code.word in CODES:
            assert CODES[code.word].retriable == code.retriable, code


def sorted_by_operator(error: SidecarError) -> EngineError:
    answer = error_response(error)
    return failure("load", httpx.Response(answer.status_code, headers=dict(answer.headers)), bytes(answer.body))


def test_codes_are_sorted_without_their_text() -> None:
    forbidden = sorted_by_operator(SidecarError(Code.ARTIFACT_FORBIDDEN, "out of memory, already been loaded"))
    assert (forbidden.reason, forbidden.retriable, forbidden.scope) == ("ArtifactForbidden", False, Scope.ADAPTER)
    down = sorted_by_operator(SidecarError(Code.STORE_UNAVAILABLE, "not found", retry_after=7))
    assert (down.reason, down.retriable, down.retry_after) == ("StoreUnavailable", True, 7)
    assert sorted_by_operator(SidecarError(Code.ENGINE_TIMEOUT, "late")).ambiguous
    assert isinstance(sorted_by_operator(SidecarError(Code.NAME_TAKEN, "another")), AlreadyLoaded)
    missing = sorted_by_operator(SidecarError(Code.CREDENTIALS_MISSING, "see credentialsSecretRef"))
    assert missing.reason == "CredentialsMissing", "its status is 401, and it is not about the engine's key"


@pytest.mark.parametrize(
    ("status", "type", "message", "reason"),
    [
        (401, "", "Unauthorized", "Unauthorized"),
        (404, "", "Not Found", "RuntimeUpdatingOff"),
        (404, "NotFoundError", "No adapter found for /x", "ArtifactNotFound"),
        (500, "InternalServerError", "LoRA rank 64 is greater than max_lora_rank 16.", "AdapterExceedsLimits"),
        (400, "InvalidUserInput", "The lora adapter 'sql' has already been loaded.", "AlreadyLoaded"),
    ],
)
def test_an_engine_error_passed_on_by_the_sidecar_is_classified_like_a_direct_one(
    status: int, type: str, message: str, reason: str
) -> None:
    passed_on = SidecarError(Code.ENGINE_REFUSED, message, status=status, type=type)
    assert sorted_by_operator(passed_on).reason == reason


def test_a_sidecar_request_has_the_credentials_the_key_and_returns_the_path() -> None:
    observed: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        observed.append(request)
        return httpx.Response(200, json={"status": "success", "lora_name": "sql", "local_path": "/cache/x"})

    async def story() -> None:
        client = EngineClient(httpx.MockTransport(answer))
        order = LoadOrder("sql", "s3://b/sql/", {"aws_access_key_id": "AKIA"}, {"rank": "8"})
        assert await client.order(Address("10.0.0.1", 8080, "sk-1"), order, 5) == "/cache/x"
        await client.cancel(Address("10.0.0.1", 8080, "sk-1"), "sql", 5)

    asyncio.run(story())
    load, unload = observed
    assert str(load.url) == "http://10.0.0.1:8080/v1/lora_adapter/load"
    assert load.headers["authorization"] == "Bearer sk-1"
    expected: dict[str, Any] = {
        "lora_name": "sql",
        "artifact_url": "s3://b/sql/",
        "credentials": {"aws_access_key_id": "AKIA"},
        "additional_config": {"rank": "8"},
    }
    assert json.loads(load.content) == expected
    assert json.loads(unload.content) == {"lora_name": "sql", "cleanup_local": True}
    assert "AKIA" not in repr(LoadOrder("sql", "s3://b/sql/", {"aws_access_key_id": "AKIA"}))


AIBRIX = {
    "status": "success",
    "message": "Successfully loaded adapter sql from s3://b/sql/",
    "local_path": "/tmp/aibrix/adapters/sql",
    "engine_response": {"message": "Success: LoRA adapter 'sql' added successfully."},
}
"""Response of AIBrix's own sidecar, as its `artifact_service.py` builds it (0.7.0)."""


def test_aibrixs_own_sidecar_is_understood() -> None:
    refused = {"error": "Engine error: LoRA rank 64 is greater than max_lora_rank 16."}
    answers = iter([httpx.Response(200, json=AIBRIX), httpx.Response(500, json=refused)])

    async def story() -> None:
        client = EngineClient(httpx.MockTransport(lambda _: next(answers)))
        address, order = Address("10.0.0.1", 8080, ""), LoadOrder("sql", "s3://b/sql/", {})
        assert is_aibrix_folder(await client.order(address, order, 5), "sql")
        with pytest.raises(EngineError, match="LoRA rank 64 is greater") as caught:
            await client.order(address, order, 5)
        assert caught.value.reason == "AdapterExceedsLimits"

    asyncio.run(story())


def test_the_documentation_lists_every_code_with_its_condition() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sidecar" / "README.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for code in Code:
        (row,) = [line for line in rows if f"`{code.word}`" in line.split("|")[1]]
        if code.word in CODES:
            assert f"`{CODES[code.word].reason}`" in row.split("|")[4], code
        if code is not Code.ENGINE_REFUSED:
            assert str(int(code.status)) in row.split("|")[2], code
            assert row.split("|")[3].strip() == ("yes" if code.retriable else "no"), code
