"""Metrics: the families, and what requests of each kind add to them."""

from tests.conformance.exchange import PROMPT, Case, Request, chat, completion, get, load

_ACCEPTED = (
    "text/plain",
    "application/openmetrics-text; version=1.0.0",
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "text/plain; version=1.0.0; escaping=allow-utf-8",
)

CASES = (
    Case("metrics/families", (load(), completion("a"), get("/metrics"))),
    Case("metrics/families-without-lora", (completion(), get("/metrics")), "no-lora"),
    Case("metrics/head", (Request("HEAD", "/metrics"),)),
    Case("metrics/post", (Request("POST", "/metrics"),)),
    Case("metrics/trailing-slash", (get("/metrics/"),)),
    Case("metrics/longer-path", (get("/metrics/x"), get("/metricsx"))),
    Case("metrics/accept", tuple(get("/metrics", accept=kind) for kind in _ACCEPTED)),
    Case("metrics/accept-of-mount", tuple(get("/metrics/", accept=kind) for kind in _ACCEPTED)),
    Case("metrics/one-name", (get("/metrics?name[]=vllm:num_requests_running"),)),
    Case("metrics/options", (Request("OPTIONS", "/metrics"), Request("PUT", "/metrics"))),
    Case("metrics/completion", (completion(counts=True),)),
    Case("metrics/adapter", (load(), completion("a", counts=True))),
    Case("metrics/two-prompts", (completion(prompt=[PROMPT, PROMPT], counts=True),)),
    Case("metrics/two-choices", (completion(n=2, temperature=1, counts=True),)),
    Case("metrics/chat", (chat(counts=True),)),
    Case("metrics/stream", (completion(stream=True, counts=True),)),
    Case("metrics/one-token", (completion(max_tokens=1, counts=True),)),
    Case("metrics/refused", (completion(max_tokens=-1, counts=True),)),
    Case("metrics/unknown-model", (completion("none", counts=True),)),
    Case("metrics/minimum", (completion(max_tokens=4, min_tokens=4, counts=True),)),
    Case("metrics/greedy-choices", (completion(n=2, counts=True),)),
    Case("metrics/prompt-logprobs", (completion(prompt_logprobs=1, counts=True),)),
    Case("metrics/echo-no-tokens", (completion(echo=True, max_tokens=0, counts=True),)),
    Case("metrics/no-limit", (completion(max_tokens=None, counts=True),)),
    Case("metrics/again", (completion(prompt=[99] * 385), completion(prompt=[99] * 385, counts=True))),
    Case("metrics/too-long", (completion(prompt=[11] * 600, counts=True),)),
    Case(
        "metrics/two-adapters",
        (load(), load("b", "<loras>/l1"), completion("a", counts=True), completion("b", counts=True)),
    ),
    Case("metrics/stopped-by-token", (completion(ignore_eos=False, stop_token_ids=list(range(512)), counts=True),)),
)
