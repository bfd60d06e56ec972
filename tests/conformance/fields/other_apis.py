"""Fields of the bodies of OpenAI's responses and Anthropic's messages: see `table.py`."""

from collections.abc import Mapping

from tests.conformance.fields.field import Handled, RequestClass, checked, harmless, honoured, refused

_USER = {"role": "user", "content": "hello"}
_NOT_SAMPLED = "the fake does not sample"
_NO_MEDIA = "for multimodal models"
_TEMPLATE = "the fake's chat template does not use them"
_FORMAT = {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}}}
_TOOLS = "calls need `--enable-auto-tool-choice --tool-call-parser NAME`"
_LOGPROBS = ["message.output_text.logprobs"]
_LONG = {"max_output_tokens": 12}

RESPONSES: Mapping[str, Handled] = {
    "background": refused({"background": True, "store": True}, "allowed by `VLLM_ENABLE_RESPONSES_API_STORE`"),
    "include": honoured({"include": _LOGPROBS}),
    "input": honoured({"input": "another text"}, _LONG),
    "instructions": honoured({"instructions": "be brief"}),
    "max_output_tokens": honoured({"max_output_tokens": 3}),
    "max_tool_calls": honoured({"max_tool_calls": 1}),
    "metadata": honoured({"metadata": {"a": "b"}}),
    "model": honoured({"model": "a"}),
    "logit_bias": checked("logit_bias", {"11": 1}, {"x": 1}, _NOT_SAMPLED),
    "parallel_tool_calls": honoured({"parallel_tool_calls": False}),
    "previous_response_id": refused({"previous_response_id": "resp_1"}, "allowed by `VLLM_ENABLE_RESPONSES_API_STORE`"),
    "prompt": refused({"prompt": {"id": "1"}}, "vLLM has no stored prompts"),
    "reasoning": honoured({"reasoning": {"effort": "low"}}),
    "include_reasoning": harmless("include_reasoning", False, "the fake does not reason"),
    "service_tier": honoured({"service_tier": "flex"}),
    "store": harmless("store", False, "without `VLLM_ENABLE_RESPONSES_API_STORE` nothing is stored"),
    "stream": honoured({"stream": True}),
    "temperature": honoured({"temperature": 1.0}),
    "text": honoured({"text": _FORMAT}),
    "tool_choice": harmless("tool_choice", "auto", _TOOLS),
    "tools": honoured({"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]}, note=_TOOLS),
    "top_logprobs": honoured({"top_logprobs": 2}, {"include": _LOGPROBS}),
    "top_p": checked("top_p", 0.5, 2, _NOT_SAMPLED),
    "top_k": checked("top_k", 5, -2, _NOT_SAMPLED),
    "min_p": checked("min_p", 0.5, 2, _NOT_SAMPLED),
    "truncation": honoured({"truncation": "auto"}),
    "user": honoured({"user": "me"}),
    "skip_special_tokens": harmless("skip_special_tokens", False, "the fake writes none"),
    "include_stop_str_in_output": honoured({"include_stop_str_in_output": True}, {"stop": "s"}),
    "presence_penalty": honoured({"presence_penalty": 1.0}),
    "frequency_penalty": honoured({"frequency_penalty": 1.0}),
    "prompt_cache_key": harmless("prompt_cache_key", "k"),
    "watermarking": harmless("watermarking", True, _NOT_SAMPLED),
    "request_id": honoured({"request_id": "resp_mine"}),
    "session_id": harmless("session_id", "s"),
    "media_io_kwargs": refused({"media_io_kwargs": {"image": {"a": 1}}}, "allowed by `--trust-request-mm-kwargs`"),
    "mm_processor_kwargs": refused({"mm_processor_kwargs": {"a": 1}}, "allowed by `--trust-request-mm-kwargs`"),
    "priority": harmless("priority", 1, "requests are scheduled in the order in which they arrive"),
    "mm_payload": harmless("mm_payload", "none", _NO_MEDIA),
    "return_mm_kwargs": harmless("return_mm_kwargs", True, _NO_MEDIA),
    "cache_salt": checked("cache_salt", "salt", "@"),
    "enable_response_messages": honoured({"enable_response_messages": True}),
    "previous_input_messages": harmless("previous_input_messages", [_USER], "for models with Harmony"),
    "structured_outputs": honoured({"structured_outputs": {"choice": ["yes"]}}),
    "repetition_penalty": checked("repetition_penalty", 1.1, 0, _NOT_SAMPLED),
    "seed": honoured({"seed": 1}, _LONG),
    "stop": honoured({"stop": "s"}),
    "stop_token_ids": honoured({"stop_token_ids": list(range(512))}),
    "ignore_eos": honoured({"ignore_eos": True}, {"max_output_tokens": 300}),
    "vllm_xargs": checked("vllm_xargs", {"a": 1}, {"a": 10**30}),
    "kv_transfer_params": checked("kv_transfer_params", {"a": 1}, {"a": 10**30}, "no transfer takes place"),
    "ec_transfer_params": checked("ec_transfer_params", {"a": 1}, {"a": 10**30}, "no transfer takes place"),
    "chat_template_kwargs": harmless("chat_template_kwargs", {"x": 1}, _TEMPLATE),
}

_COUNT: Mapping[str, Handled] = {
    "model": checked("model", "a", "none"),
    "messages": honoured({"messages": [{"role": "user", "content": "a longer text"}]}),
    "output_config": harmless("output_config", {"effort": "low"}),
    "system": honoured({"system": "be brief"}),
    "thinking": harmless("thinking", {"type": "disabled"}),
    "tool_choice": harmless("tool_choice", {"type": "none"}, _TEMPLATE),
    "tools": refused({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, _TOOLS),
    "chat_template_kwargs": harmless("chat_template_kwargs", {"x": 1}, _TEMPLATE),
}
_MESSAGES: Mapping[str, Handled] = {
    **_COUNT,
    "model": honoured({"model": "a"}),
    "messages": honoured({"messages": [{"role": "user", "content": "another text"}]}, {"max_tokens": 12}),
    "max_tokens": honoured({"max_tokens": 3}),
    "metadata": harmless("metadata", {"user_id": "me"}),
    "stop_sequences": honoured({"stop_sequences": ["s"]}),
    "stream": honoured({"stream": True}),
    "temperature": checked("temperature", 0.5, 3, _NOT_SAMPLED),
    "top_k": checked("top_k", 5, -2, _NOT_SAMPLED),
    "top_p": checked("top_p", 0.5, 2, _NOT_SAMPLED),
    "mm_payload": harmless("mm_payload", "none", _NO_MEDIA),
    "return_mm_kwargs": harmless("return_mm_kwargs", True, _NO_MEDIA),
    "cache_salt": harmless("cache_salt", "salt"),
    "watermarking": harmless("watermarking", True, _NOT_SAMPLED),
    "kv_transfer_params": checked("kv_transfer_params", {"a": 1}, {"a": 10**30}, "no transfer takes place"),
    "ec_transfer_params": checked("ec_transfer_params", {"a": 1}, {"a": 10**30}, "no transfer takes place"),
    "vllm_xargs": checked("vllm_xargs", {"a": 1}, {"a": 10**30}),
}
_RESPONSE = {"model": "base", "input": "hello", "max_output_tokens": 2, "temperature": 0}
_MESSAGE = {"model": "base", "max_tokens": 2, "temperature": 0, "messages": [_USER]}
OTHER_APIS = (
    RequestClass("ResponsesRequest", "/v1/responses", _RESPONSE, RESPONSES),
    RequestClass("AnthropicMessagesRequest", "/v1/messages", _MESSAGE, _MESSAGES),
    RequestClass(
        "AnthropicCountTokensRequest", "/v1/messages/count_tokens", {"model": "base", "messages": [_USER]}, _COUNT
    ),
)
