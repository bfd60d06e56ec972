"""vLLM's status, type and text of errors: of adapters (vllm/entrypoints/openai/models/serving.py), and of bodies.

Bodies: vllm/entrypoints/serve/exception_handling.
"""

from collections.abc import Iterable
from dataclasses import replace

from fake_vllm.engine.engine import Engine
from fake_vllm.engine.lora import EngineError
from fake_vllm.http.messages import Response, error_response, json_response
from fake_vllm.http.sanitize import sanitize
from fake_vllm.http.validation import RequestValidationError, UnreadableBodyError, VLLMValidationError
from fake_vllm.openai.releases import api

_MIB = 1 << 20
CALL_FAILED = "Call to add_lora method failed: "


class VllmErrorTexts:
    """Implements `ErrorTexts`.

    The server passes on the text of an error in the engine core behind the name of the call (`vllm/v1/engine/core.py`);
    with worker processes their executor wraps it too (`vllm/v1/executor/multiproc_executor.py`). In older releases
    every error of a load is the client's (`blames_client`).
    """

    def __init__(self, *, worker_processes: bool = False, blames_client: bool = False) -> None:
        self._worker_processes = worker_processes
        self._status, self._type = (400, "BadRequestError") if blames_client else (500, "InternalServerError")
        self._missing = CALL_FAILED if blames_client else ""

    def incomplete_load(self) -> EngineError:
        return EngineError(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")

    def already_loaded(self, name: str, *, replaceable: bool) -> EngineError:
        hint = " If you want to load the adapter in place, set 'load_inplace' to True." if replaceable else ""
        return EngineError(400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded.{hint}")

    def not_found(self, name: str, path: str) -> EngineError:
        return EngineError(
            404,
            "NotFoundError",
            f"{self._missing}Loading lora {name} failed: No adapter found for {path}",
            exception="load",
        )

    def lora_disabled(self) -> EngineError:
        return self.load_failed("LoRA is not enabled. Use --enable-lora to enable LoRA.")

    def rank_too_high(self, name: str, rank: int, limit: int) -> EngineError:  # noqa: ARG002 - vLLM does not name it
        return self.load_failed(f"LoRA rank {rank} is greater than max_lora_rank {limit}.")

    def load_failed(self, message: str) -> EngineError:
        if self._worker_processes:
            message = f"Worker failed with error '{message}', please check the stack trace above for the root cause"
        return EngineError(self._status, self._type, f"{CALL_FAILED}{message}", exception="load")

    def out_of_memory(self, size: int) -> EngineError:
        return self.load_failed(f"CUDA out of memory. Tried to allocate {size / _MIB:.2f} MiB.")

    def missing_unload_name(self) -> EngineError:
        return EngineError(400, "InvalidUserInput", "'lora_name' needs to be provided to unload a LoRA adapter.")

    def not_loaded(self, name: str, registered: Iterable[str]) -> EngineError:  # noqa: ARG002 - vLLM does not name them
        return EngineError(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")

    def base_model_name(self, name: str) -> EngineError:
        return EngineError(400, "InvalidUserInput", f"The lora adapter '{name}' conflicts with a served base model.")


def invalid_body(engine: Engine, error: RequestValidationError) -> Response:
    """Return the response to a body that does not fit."""
    quirks, release = engine.config.quirks, api(engine.config.version)
    if isinstance(error, UnreadableBodyError):
        return json_response(400, {"detail": error.errors[0]})
    if error.cause is not None and not (release.wraps_refusals and _is_refusal(error.cause)):
        return failure(engine, _refused(error.cause))
    message = error.bounded if release.bounded_errors else str(error)
    if release.repeats_errors:
        message = f"{message} {list(error.errors)}"
    message = sanitize(message, hides_paths=quirks.hides_paths)
    param = error.param if release.names_places else None
    return error_response(quirks.validation_status, quirks.validation_type, message, param)


def failure(engine: Engine, error: EngineError, message: str | None = None) -> Response:
    """Return the response to an error; `message`: its text, if it is not the error's own."""
    text = error.message if message is None else message
    response = error_response(error.status, error.type, text, error.param)
    return replace(response, unhandled=True) if error.exception in engine.config.quirks.unhandled else response


def _is_refusal(error: Exception) -> bool:
    """Return whether an exception of a validator becomes an error of pydantic."""
    return isinstance(error, VLLMValidationError | ValueError | AssertionError)


def _refused(error: Exception) -> EngineError:
    """Return the error for an exception of a validator; odd values make some fail with Python's own."""
    if isinstance(error, VLLMValidationError):
        return EngineError(400, "BadRequestError", str(error), error.parameter, exception="validation")
    if isinstance(error, ValueError | TypeError | OverflowError):
        return EngineError(400, "BadRequestError", str(error), exception="value")
    return EngineError(500, "InternalServerError", str(error), exception="other")
