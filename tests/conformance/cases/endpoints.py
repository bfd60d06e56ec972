"""Endpoints beside completions and chats: pooling, audio, scoring, SageMaker's, scale-out, refused or answered."""

from typing import Any

from tests.conformance.exchange import ABSENT, MESSAGES, PROMPT, Case, Request, get, load, post

_COMPLETION = {"model": "base", "prompt": PROMPT, "max_tokens": 1, "ignore_eos": True}
_CHAT = {"model": "base", "messages": MESSAGES, "max_tokens": 3, "temperature": 0, "ignore_eos": True}
_SCORING = {"model": "base", "query": PROMPT, "items": [[21, 22], [23]], "label_token_ids": [31, 32]}
_GENERATE = {"token_ids": PROMPT, "sampling_params": {"max_tokens": 1}}

_POSTED: dict[str, tuple[str, Any]] = {
    "embeddings": ("/v1/embeddings", {"model": "base", "input": "hello"}),
    "embeddings-empty": ("/v1/embeddings", {}),
    "embeddings-unknown-model": ("/v1/embeddings", {"model": "none", "input": "hello"}),
    "embeddings-not-json": ("/v1/embeddings", ABSENT),
    "embed-v2": ("/v2/embed", {"model": "base", "texts": ["hello"], "input_type": "x", "embedding_types": ["float"]}),
    "pooling": ("/pooling", {"model": "base", "input": "hello"}),
    "pooling-empty": ("/pooling", {}),
    "classify": ("/classify", {"model": "base", "input": "hello"}),
    "score": ("/score", {"model": "base", "text_1": "a", "text_2": "b"}),
    "score-empty": ("/score", {}),
    "score-v1": ("/v1/score", {"model": "base", "text_1": "a", "text_2": "b"}),
    "rerank": ("/rerank", {"model": "base", "query": "a", "documents": ["b"]}),
    "rerank-empty": ("/rerank", {}),
    "rerank-v1": ("/v1/rerank", {"model": "base", "query": "a", "documents": ["b"]}),
    "rerank-v2": ("/v2/rerank", {"model": "base", "query": "a", "documents": ["b"]}),
    "transcriptions": ("/v1/audio/transcriptions", ABSENT),
    "translations": ("/v1/audio/translations", ABSENT),
    "speech": ("/v1/audio/speech", {"model": "base", "input": "hello", "voice": "x"}),
    "images": ("/v1/images/generations", {"model": "base", "prompt": "hello"}),
    "moderations": ("/v1/moderations", {"input": "hello"}),
    "batch": ("/v1/chat/completions/batch", {**_CHAT, "messages": [MESSAGES, MESSAGES]}),
    "batch-of-one": ("/v1/chat/completions/batch", {**_CHAT, "messages": [MESSAGES]}),
    "batch-empty": ("/v1/chat/completions/batch", {**_CHAT, "messages": []}),
    "batch-plain-messages": ("/v1/chat/completions/batch", _CHAT),
    "batch-stream": ("/v1/chat/completions/batch", {**_CHAT, "messages": [MESSAGES], "stream": True}),
    "batch-unknown-model": ("/v1/chat/completions/batch", {**_CHAT, "messages": [MESSAGES], "model": "none"}),
    "batch-missing": ("/v1/chat/completions/batch", {}),
    "scoring": ("/generative_scoring", _SCORING),
    "scoring-text": ("/generative_scoring", {**_SCORING, "query": "a", "items": ["b"]}),
    "scoring-no-model": ("/generative_scoring", {**_SCORING, "model": None}),
    "scoring-mixed": ("/generative_scoring", {**_SCORING, "items": ["b"]}),
    "scoring-no-items": ("/generative_scoring", {**_SCORING, "items": []}),
    "scoring-no-labels": ("/generative_scoring", {**_SCORING, "label_token_ids": []}),
    "scoring-label-beyond-vocabulary": ("/generative_scoring", {**_SCORING, "label_token_ids": [100000]}),
    "scoring-label-negative": ("/generative_scoring", {**_SCORING, "label_token_ids": [-1]}),
    "scoring-unknown-model": ("/generative_scoring", {**_SCORING, "model": "none"}),
    "scoring-empty": ("/generative_scoring", {}),
    "systemone": ("/v1/systemone", {"state": "x", "questions": {"q": {"type": "boolean", "instructions": "is it?"}}}),
    "systemone-empty": ("/v1/systemone", {}),
    "invocations": ("/invocations", _COMPLETION),
    "invocations-chat": ("/invocations", _CHAT),
    "invocations-stream": ("/invocations", {**_COMPLETION, "stream": True}),
    "invocations-unknown-model": ("/invocations", {**_COMPLETION, "model": "none"}),
    "invocations-empty": ("/invocations", {}),
    "invocations-list": ("/invocations", []),
    "invocations-neither": ("/invocations", {"model": "base", "input": "hello"}),
    "invocations-bad-field": ("/invocations", {**_COMPLETION, "max_tokens": "many"}),
    "invocations-session": ("/invocations", {"requestType": "NEW_SESSION"}),
    "generate": ("/inference/v1/generate", _GENERATE),
    "generate-empty": ("/inference/v1/generate", {}),
    "generate-not-json": ("/inference/v1/generate", ABSENT),
    "abort-inference": ("/inference/v1/abort_requests", {"request_ids": ["a"]}),
    "abort": ("/abort_requests", {"request_ids": ["a"]}),
    "render-completion": ("/v1/completions/render", _COMPLETION),
    "render-chat": ("/v1/chat/completions/render", _CHAT),
    "render-responses": ("/v1/responses/render", {"model": "base", "input": "hello"}),
    "render-messages": ("/v1/messages/render", {"model": "base", "messages": MESSAGES, "max_tokens": 3}),
    "derender-completion": ("/v1/completions/derender", {}),
    "derender-chat": ("/v1/chat/completions/derender", {}),
    "disaggregated-generate": ("/v1/generate", _GENERATE),
    "scale": ("/scale_elastic_ep", {}),
    "scale-text": ("/scale_elastic_ep", {"new_data_parallel_size": "2"}),
    "scale-zero": ("/scale_elastic_ep", {"new_data_parallel_size": 0}),
    "scale-timeout": ("/scale_elastic_ep", {"new_data_parallel_size": 2, "drain_timeout": 0}),
    "scale-not-json": ("/scale_elastic_ep", ABSENT),
    "is-scaling": ("/is_scaling_elastic_ep", ABSENT),
    "cohere-chat": ("/v2/chat", {"model": "base", "messages": MESSAGES}),
    "cohere": ("/cohere/v2/chat", {"model": "base", "messages": MESSAGES}),
    "start-profile": ("/start_profile", ABSENT),
    "stop-profile": ("/stop_profile", ABSENT),
    "fault-tolerance": ("/fault_tolerance/apply", {}),
    "tokenizer-info": ("/tokenizer_info", ABSENT),
    "old-generate": ("/generate", {"prompt": "hello"}),
}
_DEVELOPMENT = (
    *(("POST", path) for path in ("/sleep", "/wake_up", "/release_kv_cache_memory", "/collective_rpc")),
    *(("POST", path) for path in ("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache")),
    *(("POST", path) for path in ("/pause", "/resume", "/init_weight_transfer_engine", "/update_weights")),
    *(("GET", path) for path in ("/is_sleeping", "/is_paused", "/server_info", "/get_world_size", "/weight_info")),
)
"""Routes of the development mode, which this server does not run in."""

_ADAPTER_HEADER = {"x-amzn-sagemaker-adapter-identifier": "a"}

CASES = (
    *(Case(f"endpoints/{name}", (post(path, body, mask_usage=True),)) for name, (path, body) in _POSTED.items()),
    *(Case(f"endpoints/off{path.replace('/', '-')}", (Request(method, path),)) for method, path in _DEVELOPMENT),
    Case("endpoints/kv-event-sources", (get("/kv_event_sources"),)),
    Case("endpoints/tokenizer-info-get", (get("/tokenizer_info"),)),
    Case("endpoints/realtime", (get("/v1/realtime"),)),
    Case("endpoints/files", (get("/v1/files"),)),
    Case("endpoints/scoring-counts", (post("/generative_scoring", _SCORING, counts=True),)),
    Case("endpoints/scoring-adapter", (load(), post("/generative_scoring", {**_SCORING, "model": "a"}))),
    Case(
        "endpoints/invocations-adapter",
        (load(), post("/invocations", _COMPLETION, headers=_ADAPTER_HEADER, mask_usage=True)),
    ),
    Case("endpoints/invocations-adapter-unknown", (post("/invocations", _COMPLETION, headers=_ADAPTER_HEADER),)),
    Case("endpoints/invocations-get", (get("/invocations"),)),
    *(
        Case(f"scale-out/{name}", (post(path, body, mask_usage=True),), "scale-out")
        for name, (path, body) in _POSTED.items()
        if name.startswith(("generate", "abort", "render", "derender"))
    ),
    Case("scale-out/abort-nothing", (post("/inference/v1/abort_requests", {}),), "scale-out"),
    Case("scale-out/abort-not-json", (post("/inference/v1/abort_requests", content=b"x"),), "scale-out"),
    Case("scale-out/generate-stream", (post("/inference/v1/generate", {**_GENERATE, "stream": True}),), "scale-out"),
    Case(
        "scale-out/generate-adapter", (load(), post("/inference/v1/generate", {**_GENERATE, "model": "a"})), "scale-out"
    ),
    Case("scale-out/routes", (get("/openapi.json"), get("/inference/v1/generate")), "scale-out"),
    Case(
        "endpoints/adapters",
        (
            post("/adapters", {"name": "a", "src": "<loras>/l0"}),
            get("/v1/models"),
            post("/adapters", {"name": "a", "src": "<loras>/l0"}),
            Request("DELETE", "/adapters/a"),
            Request("DELETE", "/adapters/a"),
            get("/v1/models"),
        ),
    ),
    Case("endpoints/adapters-missing", (post("/adapters", {"name": "a", "src": "<loras>/none"}),)),
    Case("endpoints/adapters-broken", (post("/adapters", {"name": "a", "src": "<loras>/dora"}),)),
    Case("endpoints/adapters-empty", (post("/adapters", {}),)),
    Case("endpoints/adapters-list", (post("/adapters", []),)),
    Case("endpoints/adapters-number", (post("/adapters", {"name": 1, "src": "<loras>/l0"}),)),
    Case(
        "endpoints/adapters-not-json", (post("/adapters", content=b"x", headers={"content-type": "application/json"}),)
    ),
    Case("endpoints/adapters-methods", (get("/adapters"), get("/adapters/a"), Request("PUT", "/adapters/a"))),
    Case(
        "endpoints/adapters-updating-off",
        (post("/adapters", {"name": "a", "src": "<loras>/l0"}), Request("DELETE", "/adapters/a")),
        "no-updating",
    ),
    Case("endpoints/load-while-idle", (get("/load"), post("/v1/completions", _COMPLETION), get("/load"))),
)
