"""Classification of engine errors: retriable or final, and their scope."""

import httpx
import pytest

from controller.engine.errors import AlreadyLoaded, RemoveFailed, Scope, classify, failure


def envelope(message: str, kind: str, code: int) -> dict:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("error", "text", "ambiguous"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "connection refused", False),
        (httpx.ConnectError("[Errno 113] No route to host"), "no route to host", False),
        (httpx.ConnectError("[Errno 101] Network is unreachable"), "network is unreachable", False),
        (httpx.ConnectTimeout("timed out"), "connection timeout", False),
        (httpx.ReadTimeout("timed out"), "timeout", True),
        (TimeoutError(), "timeout", True),
        (httpx.ReadError("[Errno 104] Connection reset by peer"), "connection reset", True),
        (httpx.RemoteProtocolError("Server disconnected"), "closed the connection early", True),
    ],
)
def test_a_request_without_an_answer_is_always_retriable(error: Exception, text: str, ambiguous: bool) -> None:
    result = classify(error, 30)
    assert result.retriable
    assert text in result.message
    assert result.ambiguous is ambiguous


@pytest.mark.parametrize(
    ("status", "body", "retriable", "scope"),
    [
        (502, "bad gateway", True, Scope.POD),
        (503, "", True, Scope.POD),
        (504, "", True, Scope.POD),
        (408, "", True, Scope.POD),
        (429, "", True, Scope.POD),
        (500, envelope("boom", "InternalServerError", 500), True, Scope.POD),
        (
            500,
            envelope("LoRA rank 64 is greater than max_lora_rank 16.", "InternalServerError", 500),
            False,
            Scope.POD,
        ),
        (
            500,
            envelope("Error while deserializing header: invalid header length", "InternalServerError", 500),
            False,
            Scope.ADAPTER,
        ),
        (500, envelope("CUDA out of memory", "InternalServerError", 500), False, Scope.POD),
        (401, {"error": "Unauthorized"}, False, Scope.POD),
        (403, "", False, Scope.POD),
        (404, {"detail": "Not Found"}, False, Scope.POD),
        (404, envelope("Loading lora x failed: No adapter found for y", "NotFoundError", 404), False, Scope.ADAPTER),
        (400, envelope("both must be provided", "InvalidUserInput", 400), False, Scope.ADAPTER),
        (418, "", False, Scope.POD),
        (501, "", True, Scope.POD),
    ],
)
def test_responses_are_classified_by_status_and_then_by_text(status: int, body, retriable: bool, scope: Scope) -> None:
    response = httpx.Response(status, json=body) if isinstance(body, dict) else httpx.Response(status, text=body)
    error = failure("load", response, response.content)
    assert (error.retriable, error.scope) == (retriable, scope)


@pytest.mark.parametrize("nested", [True, False], ids=["today's envelope", "the flat one of old versions"])
def test_a_taken_name_differs_from_other_400s(nested: bool) -> None:
    message = "The lora adapter 'x' has already been loaded."
    body = (
        envelope(message, "InvalidUserInput", 400) if nested else {"object": "error", "message": message, "code": 400}
    )
    response = httpx.Response(400, json=body)
    assert isinstance(failure("load", response, response.content), AlreadyLoaded)


def test_a_failed_removal_has_its_own_error() -> None:
    response = httpx.Response(
        500, json=envelope("Failed to remove lora adapter 'x' from the engine.", "InternalServerError", 500)
    )
    assert isinstance(failure("unload", response, response.content), RemoveFailed)


@pytest.mark.parametrize(
    ("message", "reason", "scope"),
    [
        ("Failed to load LoRA adapter x because it is already loaded", "AlreadyLoaded", Scope.POD),
        ("LoRA with name x already exists. Loaded LoRAs: dict_keys(['x'])", "AlreadyLoaded", Scope.POD),
        ("LoRA is not enabled. Please set `--enable-lora` to enable LoRA.", "LoRANotEnabled", Scope.POD),
        ("CUDA out of memory. Tried to allocate 2.00 MiB.", "OutOfMemory", Scope.POD),
        ("LoRA adapter x with rank 64 is incompatible with the current LoRA memory pool configuration.",
         "AdapterExceedsLimits", Scope.POD),
        ("Failed to load x because LoRA serving currently doesn't support DoRA adapters",
         "InvalidAdapter", Scope.ADAPTER),
        ("Failed to load x because LoRA serving currently doesn't support adapters that add tokens to the vocabulary",
         "InvalidAdapter", Scope.ADAPTER),
        ("LoRA buffer shape torch.Size([8, 64]) does not match weight shape torch.Size([8, 32]).",
         "InvalidAdapter", Scope.ADAPTER),
        ("'target_modules'", "InvalidAdapter", Scope.ADAPTER),
        ("[Errno 2] No such file or directory: '/x/adapter_config.json'", "ArtifactNotFound", Scope.POD),
        ("Repository Not Found for url: https://huggingface.co/api/models/x.", "ArtifactNotFound", Scope.ADAPTER),
        ("Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/x'.", "ArtifactNotFound", Scope.POD),
        ("Repo id must use alphanumeric chars or '-': 'a//b'.", "ArtifactNotFound", Scope.ADAPTER),
        ("bad header", "Refused", Scope.ADAPTER),
    ],
)  # fmt: skip
def test_sglang_errors_are_classified_by_the_text_of_a_400(message: str, reason: str, scope: Scope) -> None:
    response = httpx.Response(400, json={"success": False, "error_message": message, "loaded_adapters": None})
    error = failure("load", response, response.content)
    assert (error.reason, error.scope, error.retriable) == (reason, scope, False)
    assert message.rstrip(".") in error.message


def test_retry_after_is_honoured() -> None:
    response = httpx.Response(429, headers={"retry-after": "17"})
    assert failure("load", response, b"").retry_after == 17
