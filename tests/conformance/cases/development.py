"""The development mode (`VLLM_SERVER_DEV_MODE`): sleeping, pausing, caches, weights. Every case wakes the engine."""

from typing import Any

from tests.conformance.exchange import ABSENT, Case, Request, completion, get, load, post

_BODIES: dict[str, tuple[str, Any]] = {
    "abort-empty": ("/abort_requests", {}),
    "abort-unknown": ("/abort_requests", {"request_ids": ["a", "b"]}),
    "abort-text": ("/abort_requests", {"request_ids": "a"}),
    "abort-list": ("/abort_requests", []),
    "abort-not-json": ("/abort_requests", ABSENT),
    "rpc-empty": ("/collective_rpc", {}),
    "rpc-list": ("/collective_rpc", []),
    "rpc-not-json": ("/collective_rpc", ABSENT),
    "weights-init-empty": ("/init_weight_transfer_engine", {}),
    "weights-init-text": ("/init_weight_transfer_engine", {"init_info": "x"}),
    "weights-update-empty": ("/update_weights", {}),
    "weights-checker-empty": ("/weight_checker", {}),
    "weights-checker-action": ("/weight_checker", {"action": "x"}),
    "weights-checker-compare": ("/weight_checker", {"action": "compare"}),
    "weights-version-empty": ("/update_weight_version", {}),
    "weights-version-number": ("/update_weight_version", {"new_version": 1}),
}
_READ = ("/is_sleeping", "/is_paused", "/weight_info", "/get_world_size", "/get_world_size?include_dp=false")
_READ_BADLY = ("/get_world_size?include_dp=x", "/server_info?config_format=x")
_CACHES = (
    *("/reset_prefix_cache", "/reset_prefix_cache?reset_running_requests=true", "/reset_prefix_cache?reset_external=1"),
    *("/reset_prefix_cache?reset_running_requests=x", "/reset_prefix_cache?device=x"),
    *("/reset_mm_cache", "/reset_encoder_cache"),
)
_SLEEPS = ("", "?level=0", "?level=1", "?level=1&mode=wait", "?mode=keep", "?level=")
_BAD_SLEEPS = ("?level=3", "?level=-1", "?level=x", "?level=x&mode=never", "?mode=")
_PAUSES = ("", "?mode=abort", "?mode=wait", "?mode=keep", "?clear_cache=false", "?wait_for_inflight_requests=true")
_BAD_PAUSES = ("?mode=never", "?clear_cache=x")


def _cached() -> Request:
    """Return a completion whose prompt is in the cache unless that was reset."""
    return completion(prompt=[11] * 257, counts=True)


def _query(query: str) -> str:
    return query.removeprefix("?").replace("&", "-").replace("=", "-") or "plain"


CASES = tuple(
    Case(f"development/{name}", steps, "development")
    for name, steps in (
        *((name, (post(path, body),)) for name, (path, body) in _BODIES.items()),
        *((path.strip("/").replace("?", "-"), (get(path),)) for path in (*_READ, *_READ_BADLY)),
        *((path.strip("/").replace("?", "-"), (Request("POST", path),)) for path in _CACHES),
        *((f"sleep-bad/{_query(query)}", (Request("POST", f"/sleep{query}"),)) for query in _BAD_SLEEPS),
        *((f"pause-bad/{_query(query)}", (Request("POST", f"/pause{query}"),)) for query in _BAD_PAUSES),
        *(
            (
                f"pause/{_query(query)}",
                (Request("POST", f"/pause{query}"), get("/is_paused"), Request("POST", "/resume")),
            )
            for query in _PAUSES
        ),
        ("resume-alone", (Request("POST", "/resume"), get("/is_paused"))),
        ("openapi", (get("/openapi.json"),)),
        ("methods", (get("/sleep"), Request("POST", "/is_sleeping"), Request("PUT", "/pause"), get("/wake_up"))),
        ("profile", (Request("POST", "/start_profile"), Request("POST", "/stop_profile"))),
        ("weight-version", (post("/update_weight_version", {"new_version": "2"}), get("/weight_info"))),
        ("wake-up-alone", (Request("POST", "/wake_up"), Request("POST", "/wake_up?tags=weights&tags=kv_cache"))),
        (
            "prefix-cache",
            (completion(prompt=[11] * 257), *(_cached(),) * 2, Request("POST", "/reset_prefix_cache"), _cached()),
        ),
        ("release-awake", (Request("POST", "/release_kv_cache_memory"), get("/is_sleeping"))),
        ("metrics", (load(), completion("a"), get("/metrics"))),
        *(
            (
                f"sleep/{_query(query)}",
                (
                    Request("POST", f"/sleep{query}"),
                    *(get("/is_sleeping"), get("/health"), get("/metrics"), Request("POST", "/wake_up")),
                    *(get("/is_sleeping"), completion()),
                ),
            )
            for query in _SLEEPS
        ),
    )
)
