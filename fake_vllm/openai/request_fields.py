"""Fields of vLLM's request classes that older releases do not have, and ignore.

From the classes of the recorded releases (tests/conformance/fuzz/schemas); a field counts from the first of them that
has it.
"""

from collections.abc import Mapping

from formats.engine_releases import Release

_BOTH: Mapping[str, tuple[int, int]] = {
    "repetition_detection": (0, 20),
    "truncation_side": (0, 24),
    "logprob_token_ids": (0, 27),
    "return_token_offsets": (0, 27),
    "ec_transfer_params": (0, 27),
    "stream_interval": (0, 27),
    "session_id": (0, 28),
    "routed_experts_prompt_start": (0, 28),
    "watermarking": (0, 30),
    "mm_payload": (0, 32),
    "return_mm_kwargs": (0, 32),
}
_SINCE: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "CompletionRequest": {**_BOTH, "thinking_token_budget": (0, 24), "bad_words": (0, 27)},
    "ChatCompletionRequest": {
        **_BOTH,
        "thinking_token_budget": (0, 20),
        "media_io_kwargs": (0, 20),
        "return_prompt_text": (0, 24),
    },
    "ResponsesRequest": {
        **dict.fromkeys(("presence_penalty", "frequency_penalty", "media_io_kwargs", "structured_outputs"), (0, 20)),
        "kv_transfer_params": (0, 20),
        "chat_template_kwargs": (0, 24),
        "include_reasoning": (0, 27),
        "ec_transfer_params": (0, 27),
        "session_id": (0, 28),
        "watermarking": (0, 30),
        **dict.fromkeys(("min_p", "stop_token_ids", "mm_payload", "return_mm_kwargs"), (0, 32)),
    },
    "AnthropicMessagesRequest": {
        **dict.fromkeys(("kv_transfer_params", "chat_template_kwargs"), (0, 20)),
        "output_config": (0, 24),
        **dict.fromkeys(("cache_salt", "ec_transfer_params"), (0, 27)),
        "vllm_xargs": (0, 30),
        **dict.fromkeys(("thinking", "mm_payload", "return_mm_kwargs", "watermarking"), (0, 32)),
    },
    "AnthropicCountTokensRequest": dict.fromkeys(("output_config", "thinking"), (0, 32)),
    "TokenizeChatRequest": {"media_io_kwargs": (0, 20)},
    "LoadLoRAAdapterRequest": {"is_3d_lora_weight": (0, 24)},
}


def unknown_fields(release: Release) -> Mapping[str, frozenset[str]]:
    """Return the fields that a release ignores, by the name of the class."""
    return {
        name: frozenset(field for field, since in fields.items() if release < since) for name, fields in _SINCE.items()
    }
