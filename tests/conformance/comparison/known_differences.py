"""Differences between the fake and real vLLM that are accepted, each with its reason. Short on purpose."""

from tests.conformance.comparison.gate import Known

_TEXT = "the model's own text: its first tokens have none, and its JSON does not end within the limit"
_WORDS = "the fake's words have the letters of the stop strings"
_TOKENS = "the fake has a tokenizer and a chat template of its own, so a prompt has other tokens than the model's"
_CALLS = "the test model cannot call tools; the fake does, where a model could"
_LONG = "errors of 100 kB and more, which the fake cuts"
_SCALE_OUT = "routes that render a prompt as tokens, or tokens as text, are not built; 0.32 has them behind a flag"

_SURROGATES = "halves of surrogate pairs, which no text can hold: the fake reads them as question marks"

KNOWN: tuple[Known, ...] = (
    Known("cases/responses/field/logprobs-stream", "*.logprobs", _TEXT),
    Known("cases/responses/field/limit-one", "[0].json.output[0].content", _TEXT),
    Known("cases/*/stream/one-token", "[0].events", _TEXT),
    Known("cases/*json*", "*.finish_reason", _TEXT),
    Known("cases/*/shape/structured-*", "*.finish_reason", _TEXT),
    Known("cases/*/shape/structured-*", "[0].json.usage.*", _TEXT),
    Known("cases/*/shape/json-object", "[0].json.usage.*", _TEXT),
    Known("cases/messages/field/json-schema", "[0].json.stop_reason", _TEXT),
    Known("cases/responses/field/json-*", "[0].json.status", _TEXT),
    Known("cases/responses/field/json-*", "[0].json.incomplete_details", _TEXT),
    Known("cases/responses/field/messages-shown", "*put_messages[0].message", _TOKENS),
    Known("cases/responses/stored*", "*.usage.*", _TOKENS),
    Known("cases/*/plain", "[0].counts.*", _TOKENS),
    Known("cases/*long", "[0].json.error.*", _TOKENS),
    Known("cases/tokenizing/detokenize/*", "[0].json.prompt", _TOKENS),
    Known("cases/chat/shape/prompt-text", "[0].json.prompt_text", _TOKENS),
    Known("cases/chat/tools/*", "*.message.tool_calls", _CALLS),
    Known("cases/chat/tools/*", "*.finish_reason", _CALLS),
    Known("cases/chat/tools/*-stream*", "[0].events", _CALLS),
    Known("cases/chat/tools/required-usage", "[0].events", _CALLS),
    Known("cases/*/shape/structured-grammar-bad", "[0].json.error.message", "words of a library for grammars"),
    Known(
        "cases/chat/tools/bad-parameters",
        "[0].json.error.message",
        "a tool's schema that cannot be used: 0.30 and before name a part of their own grammar",
        ("0.28.0", "0.30.0"),
    ),
    Known("cases/chat/messages/content-*", "[0].json.error.message", "pydantic's name of a type", ("0.27.1", "0.28.0")),
    Known("cases/responses/input/*", "[0].json.error.message", _LONG, ("0.27.1", "0.28.0")),
    Known("cases/*/stop-many", "[0].json.*_reason", _WORDS, ("0.27.1",)),
    Known("cases/completions/shape/stop-many", "[0].json.usage.*", _WORDS, ("0.27.1",)),
    Known(
        "cases/completions/shape/structured-regex-nul",
        "[0].json.error.message",
        "the engine core fails with its own text at this pattern alone",
        ("0.27.1",),
    ),
    Known("cases/clients/*stream*", "[0].events", _TEXT),
    Known("cases/clients/*", "*.message.tool_calls", _CALLS),
    Known("cases/clients/*", "*.finish_reason", _CALLS),
    Known("cases/*/stream/two-*", "*", "the order of two choices in a stream is chance"),
    Known(
        "cases/responses/stored",
        "[5].error",
        "a stream that cannot be read: the fake resets the connection, the real server closes it",
    ),
    Known("cases/metrics/chat", "[0].counts.*", _TOKENS),
    Known("cases/unusual/body/surrogate-*", "*", _SURROGATES),
    Known("cases/scale-out/*render-*", "*", _SCALE_OUT, ("0.32.0",)),
    Known("cases/endpoints/render-c*", "*", _SCALE_OUT, ("0.27.1", "0.28.0")),
    Known("cases/endpoints/derender-*", "*", _SCALE_OUT, ("0.27.1", "0.28.0")),
    Known("cases/*openapi*", "[0].json.paths", _SCALE_OUT, ("0.16.0", "0.20.2", "0.24.0", "0.27.1", "0.28.0")),
    Known("cases/*/body/null", "[*].json.error.message", "FastAPI's text for a body of null", ("0.16.0", "0.20.2")),
    Known("cases/metrics/again", "[1].counts.*", "cached tokens count as computed", ("0.16.0", "0.20.2")),
)
