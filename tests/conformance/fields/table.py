"""The table: every field of the bodies of each route, by the name of vLLM's class.

A test holds it to the recorded schema, to the fake's behaviour, and to what a real server answered to the samples.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.conformance.fields.field import Handled, RequestClass, checked, harmless, honoured, refused

_TOO_LARGE = 10**30
_USER = {"role": "user", "content": "hello"}
_TURNS = [_USER, {"role": "assistant", "content": "yes"}]
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
_NAMED = {"type": "function", "function": {"name": "f"}}
_LOGPROBS = {"logprobs": 1}
_CUT = {"truncate_prompt_tokens": 2}
_ANY_TOKEN = list(range(512))
_NOT_SAMPLED = "the fake does not sample"
_NO_MEDIA = "for multimodal models"
_DETECTION = {"max_pattern_size": 2, "min_pattern_size": 1, "min_count": 2}
_TEMPLATE = "allowed by `--trust-request-chat-template`"
_TOOLS = "honoured with `--enable-auto-tool-choice --tool-call-parser NAME`"

_PROCESSORS = "vLLM refuses it without `--logits-processor-pattern`, the fake does not"

_GENERATION: Mapping[str, Handled] = {
    "model": honoured({"model": "a"}),
    "echo": honoured({"echo": True}),
    "frequency_penalty": checked("frequency_penalty", 1.0, 3, _NOT_SAMPLED),
    "logit_bias": checked("logit_bias", {"11": 1}, {"x": 1}, _NOT_SAMPLED),
    "max_tokens": honoured({"max_tokens": 3}),
    "n": honoured({"n": 2}, {"temperature": 1}),
    "presence_penalty": checked("presence_penalty", 1.0, 3, _NOT_SAMPLED),
    "seed": honoured({"seed": 1}, {"temperature": 1, "max_tokens": 12}),
    "stop": honoured({"stop": "s"}),
    "stream": honoured({"stream": True}),
    "stream_options": honoured({"stream_options": {"include_usage": True}}, {"stream": True}),
    "temperature": checked("temperature", 0.5, 3, _NOT_SAMPLED),
    "top_p": checked("top_p", 0.5, 2, _NOT_SAMPLED),
    "user": harmless("user", "me"),
    "use_beam_search": harmless("use_beam_search", True, _NOT_SAMPLED),
    "top_k": checked("top_k", 5, -2, _NOT_SAMPLED),
    "min_p": checked("min_p", 0.5, 2, _NOT_SAMPLED),
    "repetition_penalty": checked("repetition_penalty", 1.1, 0, _NOT_SAMPLED),
    "watermarking": harmless("watermarking", True, _NOT_SAMPLED),
    "length_penalty": harmless("length_penalty", 2.0, _NOT_SAMPLED),
    "stop_token_ids": honoured({"stop_token_ids": _ANY_TOKEN}, note="each token stands for one of the vocabulary"),
    "include_stop_str_in_output": honoured({"include_stop_str_in_output": True}, {"stop": "s"}),
    "ignore_eos": honoured({"ignore_eos": True}, {"max_tokens": 300}),
    "min_tokens": honoured({"min_tokens": 300}, {"max_tokens": 300}),
    "skip_special_tokens": harmless("skip_special_tokens", False, "the fake writes none"),
    "spaces_between_special_tokens": harmless("spaces_between_special_tokens", False, "the fake writes none"),
    "truncate_prompt_tokens": honoured(_CUT),
    "truncation_side": honoured({"truncation_side": "left"}, {**_CUT, "max_tokens": 12}),
    "allowed_token_ids": checked("allowed_token_ids", [11], [], _NOT_SAMPLED),
    "prompt_logprobs": honoured({"prompt_logprobs": 1}),
    "bad_words": checked("bad_words", ["a"], [""], _NOT_SAMPLED),
    "add_special_tokens": harmless("add_special_tokens", False, "the fake's tokenizer has none"),
    "response_format": honoured({"response_format": {"type": "json_object"}}, {"max_tokens": 20}),
    "structured_outputs": honoured({"structured_outputs": {"choice": ["yes"]}}),
    "priority": harmless("priority", 1, "requests are scheduled in the order in which they arrive"),
    "request_id": honoured({"request_id": "mine"}),
    "session_id": harmless("session_id", "s"),
    "return_token_ids": honoured({"return_token_ids": True}),
    "routed_experts_prompt_start": harmless("routed_experts_prompt_start", 1, "for mixtures of experts"),
    "return_token_offsets": harmless("return_token_offsets", True),
    "mm_payload": harmless("mm_payload", "none", _NO_MEDIA),
    "return_mm_kwargs": harmless("return_mm_kwargs", True, _NO_MEDIA),
    "cache_salt": checked("cache_salt", "salt", "@"),
    "kv_transfer_params": checked("kv_transfer_params", {"a": 1}, {"a": _TOO_LARGE}, "no transfer takes place"),
    "ec_transfer_params": checked("ec_transfer_params", {"a": 1}, {"a": _TOO_LARGE}, "no transfer takes place"),
    "vllm_xargs": checked("vllm_xargs", {"a": 1}, {"a": _TOO_LARGE}),
    "repetition_detection": checked("repetition_detection", _DETECTION, {"max_pattern_size": -1}),
    "thinking_token_budget": refused({"thinking_token_budget": 5}, "allowed by `--reasoning-parser`"),
    "logits_processors": harmless("logits_processors", [], _PROCESSORS, until="0.16.0"),
    "stream_interval": checked("stream_interval", 2, 0, "events have one token each", stream=True),
}

_COMPLETION: Mapping[str, Handled] = {
    **_GENERATION,
    "prompt": honoured({"prompt": [11, 12, 13]}),
    "logprobs": honoured(_LOGPROBS),
    "suffix": refused({"suffix": "a", "prompt": "hello"}, "for models that fill in the middle"),
    "logprob_token_ids": checked("logprob_token_ids", [11], [512], logprobs=1),
    "prompt_embeds": refused({"prompt_embeds": "AA=="}, "allowed by `--enable-prompt-embeds`"),
    "return_tokens_as_token_ids": honoured({"return_tokens_as_token_ids": True}, _LOGPROBS),
}

_CHAT: Mapping[str, Handled] = {
    **_GENERATION,
    "messages": honoured({"messages": [{"role": "user", "content": "another"}]}, {"max_tokens": 12}),
    "logprobs": honoured({"logprobs": True}),
    "top_logprobs": honoured({"top_logprobs": 2}, {"logprobs": True}),
    "max_completion_tokens": honoured({"max_completion_tokens": 3}),
    "tools": refused({"tools": [_TOOL]}, _TOOLS),
    "tool_choice": refused({"tools": [_TOOL], "tool_choice": _NAMED}, _TOOLS),
    "reasoning_effort": harmless("reasoning_effort", "low", "the fake does not reason"),
    "include_reasoning": harmless("include_reasoning", False, "the fake does not reason"),
    "parallel_tool_calls": harmless("parallel_tool_calls", False, "the fake calls one tool"),
    "logprob_token_ids": honoured({"logprob_token_ids": [11]}, {"logprobs": True}),
    "add_generation_prompt": honoured({"add_generation_prompt": False}),
    "continue_final_message": honoured(
        {"continue_final_message": True}, {"add_generation_prompt": False, "messages": _TURNS}
    ),
    "documents": harmless("documents", [{"text": "x"}], "the fake's chat template does not use them"),
    "chat_template": refused({"chat_template": "{{ messages }}"}, _TEMPLATE),
    "chat_template_kwargs": harmless("chat_template_kwargs", {"x": 1}, "the fake's chat template does not use them"),
    "media_io_kwargs": refused({"media_io_kwargs": {"image": {"a": 1}}}, "allowed by `--trust-request-mm-kwargs`"),
    "mm_processor_kwargs": refused({"mm_processor_kwargs": {"a": 1}}, "allowed by `--trust-request-mm-kwargs`"),
    "return_tokens_as_token_ids": honoured({"return_tokens_as_token_ids": True}, {"logprobs": True}),
    "return_prompt_text": honoured({"return_prompt_text": True}),
    "return_assistant_tokens_mask": harmless("return_assistant_tokens_mask", False, until="0.30.0"),
}

_TOKENIZE: Mapping[str, Handled] = {
    "model": checked("model", "a", "none"),
    "add_special_tokens": harmless("add_special_tokens", False, "the fake's tokenizer has none"),
    "return_token_strs": honoured({"return_token_strs": True}),
}


_GENERATE = {"model": "base", "max_tokens": 2, "temperature": 0}
CLASSES = (
    RequestClass("CompletionRequest", "/v1/completions", {**_GENERATE, "prompt": [11, 12, 13, 14, 15]}, _COMPLETION),
    RequestClass("ChatCompletionRequest", "/v1/chat/completions", {**_GENERATE, "messages": [_USER]}, _CHAT),
    RequestClass(
        "TokenizeCompletionRequest",
        "/tokenize",
        {"model": "base", "prompt": "hello"},
        {**_TOKENIZE, "prompt": honoured({"prompt": "another text"})},
    ),
    RequestClass(
        "TokenizeChatRequest",
        "/tokenize",
        {"model": "base", "messages": [_USER]},
        {
            **_TOKENIZE,
            **{name: _CHAT[name] for name in ("messages", "add_generation_prompt", "continue_final_message")},
            **{name: _CHAT[name] for name in ("chat_template", "chat_template_kwargs")},
            **{name: _CHAT[name] for name in ("media_io_kwargs", "mm_processor_kwargs")},
            "tools": harmless("tools", [_TOOL], "the fake's chat template does not use them"),
        },
    ),
    RequestClass(
        "DetokenizeRequest",
        "/detokenize",
        {"model": "base", "tokens": [11, 12]},
        {"model": checked("model", "a", "none"), "tokens": honoured({"tokens": [11, 12, 13]})},
    ),
    RequestClass(
        "LoadLoRAAdapterRequest",
        "/v1/load_lora_adapter",
        {"lora_name": "b", "lora_path": "<loras>/l1"},
        {
            "lora_name": honoured({"lora_name": "c"}),
            "lora_path": honoured({"lora_path": "<loras>/none"}),
            "load_inplace": honoured({"load_inplace": True}, {"lora_name": "a"}),
            "is_3d_lora_weight": harmless("is_3d_lora_weight", False, "for mixtures of experts"),
        },
    ),
    RequestClass(
        "UnloadLoRAAdapterRequest",
        "/v1/unload_lora_adapter",
        {"lora_name": "a"},
        {"lora_name": honoured({"lora_name": "none"}), "lora_int_id": harmless("lora_int_id", 1)},
    ),
)


def samples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield route, name and body of every request that shows how a field of the newest release is handled."""
    for each in CLASSES:
        for name, handled in each.fields.items():
            if handled.until:
                continue
            yield each.route, f"{each.name}.{name}", each.body(handled.sample)
            if handled.handling == "checked":
                yield each.route, f"{each.name}.{name}=wrong", each.body({**handled.sample, name: handled.wrong})
