"""Metrics: the families, and what requests of each kind add to them."""

from tests.conformance.exchange import PROMPT, Case, Request, chat, completion, get, load

CASES = (
    Case("metrics/families", (load(), completion("a"), get("/metrics"))),
    Case("metrics/families-without-lora", (completion(), get("/metrics")), "no-lora"),
    Case("metrics/head", (Request("HEAD", "/metrics"),)),
    Case("metrics/post", (Request("POST", "/metrics"),)),
    Case("metrics/trailing-slash", (get("/metrics/"),)),
    Case("metrics/completion", (completion(counts=True),)),
    Case("metrics/adapter", (load(), completion("a", counts=True))),
    Case("metrics/two-prompts", (completion(prompt=[PROMPT, PROMPT], counts=True),)),
    Case("metrics/two-choices", (completion(n=2, temperature=1, counts=True),)),
    Case("metrics/chat", (chat(counts=True),)),
    Case("metrics/stream", (completion(stream=True, counts=True),)),
    Case("metrics/one-token", (completion(max_tokens=1, counts=True),)),
    Case("metrics/refused", (completion(max_tokens=-1, counts=True),)),
    Case("metrics/unknown-model", (completion("none", counts=True),)),
    Case("metrics/stopped-by-token", (completion(ignore_eos=False, stop_token_ids=list(range(512)), counts=True),)),
)
