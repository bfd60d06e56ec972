"""Beam search, of which the fake makes the checks and the number of choices: vllm/entrypoints/generate/beam_search.

The server turns such a request into others that generate one token each, with alternatives to it. Only the temperature
and the number of alternatives are of the request, so no other sampling parameter is looked at.
"""

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol.completion import CompletionRequest
from fake_vllm.openai.releases import Api
from fake_vllm.openai.sampling_params import MAX_CHOICES, Body, check_logprob_limit, check_temperature

_ALTERNATIVES = 2  # to each token, for each beam; vllm/entrypoints/generate/beam_search/online.py


def check_stream(body: CompletionRequest) -> None:
    """Check that the beams of a completion are not to be streamed; those of a chat are.

    Raises:
        EngineError: if they are.
    """
    if body.use_beam_search and body.stream:
        raise EngineError(400, "BadRequestError", "Streaming is not currently supported with beam search")


def check_width(body: Body) -> None:
    """Check the number of beams.

    Raises:
        VLLMValidationError: if there are none, or too many.
    """
    width = _width(body)
    if width < 1:
        raise VLLMValidationError(f"beam_width must be at least 1, got {width}.")
    if width > MAX_CHOICES:
        raise VLLMValidationError(
            f"beam_width must be at most {MAX_CHOICES}, got {width}. To increase this limit, set the"
            " VLLM_MAX_N_SEQUENCES environment variable."
        )


def check_beams(body: Body, config: EngineConfig, api: Api) -> None:
    """Check what the requests for single tokens inherit.

    Raises:
        VLLMValidationError: if a value cannot be used.
    """
    check_temperature(body, api)
    check_logprob_limit("sample", "logprobs", _ALTERNATIVES * _width(body), config)


def _width(body: Body) -> int:
    return 1 if body.n is None else body.n
