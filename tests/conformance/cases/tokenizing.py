"""Tokenizing and detokenizing. Tokens of text are masked: tokenizers differ."""

from tests.conformance.exchange import Case, load, post

_TOKENIZE = {
    "prompt": {"model": "base", "prompt": "hello world"},
    "no-model": {"prompt": "hello"},
    "model-unknown": {"model": "none", "prompt": "hello"},
    "prompt-empty": {"model": "base", "prompt": ""},
    "prompt-missing": {"model": "base"},
    "prompt-null": {"model": "base", "prompt": None},
    "prompt-number": {"model": "base", "prompt": 1},
    "prompt-list": {"model": "base", "prompt": ["a"]},
    "special-tokens": {"model": "base", "prompt": "hello", "add_special_tokens": False},
    "special-tokens-text": {"model": "base", "prompt": "hello", "add_special_tokens": "x"},
    "strings": {"model": "base", "prompt": "hello", "return_token_strs": True},
    "messages": {"model": "base", "messages": [{"role": "user", "content": "hello"}]},
    "messages-no-prompt-added": {
        "model": "base",
        "messages": [{"role": "user", "content": "hello"}],
        "add_generation_prompt": False,
    },
    "messages-contradiction": {
        "model": "base",
        "messages": [{"role": "user", "content": "hello"}],
        "add_generation_prompt": True,
        "continue_final_message": True,
    },
    "messages-empty": {"model": "base", "messages": []},
    "both": {"model": "base", "prompt": "hello", "messages": [{"role": "user", "content": "hello"}]},
    "chat-template": {"messages": [{"role": "user", "content": "hello"}], "chat_template": "x"},
    "continue-final": {
        "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"}],
        "add_generation_prompt": False,
        "continue_final_message": True,
    },
    "messages-text": {"messages": "hello"},
    "message-without-role": {"messages": [{"content": "hello"}]},
    "tools": {
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    },
    "tools-bad": {"messages": [{"role": "user", "content": "hello"}], "tools": [{}]},
    "beyond-the-context": {"prompt": "hello world " * 1000},
    "unknown-field": {"prompt": "hello", "unknown": 1},
    "model-number": {"model": 1, "prompt": "hello"},
    "list": [],
    "null": None,
}
_DETOKENIZE = {
    "tokens": {"model": "base", "tokens": [11, 12, 13]},
    "no-model": {"tokens": [11]},
    "tokens-empty": {"model": "base", "tokens": []},
    "tokens-missing": {"model": "base"},
    "tokens-negative": {"model": "base", "tokens": [-1]},
    "tokens-beyond-vocabulary": {"model": "base", "tokens": [100000]},
    "tokens-text": {"model": "base", "tokens": "abc"},
    "tokens-of-text": {"model": "base", "tokens": ["a"]},
    "tokens-real": {"model": "base", "tokens": [1.5]},
    "tokens-null": {"model": "base", "tokens": None},
    "tokens-huge": {"model": "base", "tokens": [2**63]},
    "list": [],
    "model-unknown": {"model": "none", "tokens": [11]},
}

CASES = (
    *(
        Case(f"tokenizing/tokenize/{name}", (post("/tokenize", body, mask_usage=True),))
        for name, body in _TOKENIZE.items()
    ),
    *(Case(f"tokenizing/detokenize/{name}", (post("/detokenize", body),)) for name, body in _DETOKENIZE.items()),
    Case("tokenizing/adapter", (load(), post("/tokenize", {"model": "a", "prompt": "hello"}, mask_usage=True))),
    Case("tokenizing/not-json", (post("/tokenize", content=b"x", headers={"content-type": "application/json"}),)),
)
