"""Unloading adapters, and what remains of them."""

from tests.conformance.exchange import Case, Request, completion, get, load, post, unload

_PATH = "/v1/unload_lora_adapter"
_BODIES = {
    "empty-object": {},
    "null": None,
    "list": [],
    "name-null": {"lora_name": None},
    "name-empty": {"lora_name": ""},
    "name-number": {"lora_name": 1},
    "name-list": {"lora_name": ["a"]},
    "id-alone": {"lora_int_id": 1},
    "id-text": {"lora_name": "a", "lora_int_id": "x"},
    "id-wrong": {"lora_name": "a", "lora_int_id": 99},
    "id-null": {"lora_name": "a", "lora_int_id": None},
    "field-unknown": {"lora_name": "a", "unknown": 1},
    "id-float": {"lora_name": "a", "lora_int_id": 1.5},
    "id-whole-float": {"lora_name": "a", "lora_int_id": 1.0},
    "id-boolean": {"lora_name": "a", "lora_int_id": True},
    "id-number-as-text": {"lora_name": "a", "lora_int_id": "1"},
    "id-negative": {"lora_name": "a", "lora_int_id": -1},
    "id-huge": {"lora_name": "a", "lora_int_id": 10**30},
    "name-object": {"lora_name": {}},
}

CASES = (
    Case("unloading/good", (load(), unload(), get("/v1/models"), completion("a"))),
    Case("unloading/twice", (load(), unload(), unload())),
    Case("unloading/not-loaded", (unload("none"),)),
    Case("unloading/base-model", (unload("base"), get("/v1/models"))),
    Case("unloading/load-again", (load(), unload(), load(), completion("a"))),
    Case("unloading/load-again-other-path", (load(), unload(), load("a", "<loras>/l1"), get("/v1/models"))),
    Case("unloading/one-of-two", (load(), load("b", "<loras>/l1"), unload("a"), get("/v1/models"), completion("b"))),
    *(Case(f"unloading/body/{name}", (load(), post(_PATH, body), get("/v1/models"))) for name, body in _BODIES.items()),
    Case("unloading/not-json", (post(_PATH, content=b"x", headers={"content-type": "application/json"}),)),
    Case("unloading/empty-body", (post(_PATH, content=b"", headers={"content-type": "application/json"}),)),
    Case("unloading/get", (get(_PATH),)),
    Case("unloading/delete", (Request("DELETE", _PATH),)),
    Case("unloading/alias-route", (load(), Request("DELETE", "/adapters/a"), get("/v1/models"))),
    Case("unloading/alias-route-not-loaded", (Request("DELETE", "/adapters/none"),)),
    Case("unloading/lora-disabled", (unload(),), "no-lora"),
    Case("unloading/updating-off", (unload(),), "no-updating"),
    Case("unloading/alias", (unload("alias"), unload("base")), "two-names"),
    Case("unloading/one-process", (load(), unload(), unload(), load(), completion("a")), "one-process"),
    Case(
        "unloading/evicted",
        (
            *(load(name, f"<loras>/l{number}") for number, name in enumerate("abcdef")),
            *(unload(name) for name in "abcdef"),
            get("/v1/models"),
            load("a", "<loras>/l0"),
            completion("a"),
        ),
    ),
    Case("unloading/in-place", (load(load_inplace=True), unload(), unload(), completion("a"))),
    Case("unloading/then-in-place", (load(), unload(), load("a", "<loras>/l1", load_inplace=True), completion("a"))),
    Case("unloading/after-broken", (load("a", "<loras>/dora"), unload())),
    Case("unloading/name-with-space", (load(" a"), unload("a"), unload(" a"))),
)
