"""Loading adapters: bodies, names, paths, and a folder of each kind that an engine accepts or refuses."""

from tests.conformance.artifacts import CATALOGUE
from tests.conformance.exchange import Case, completion, get, load, post, unload

_PATH = "/v1/load_lora_adapter"
_GOOD = {"lora_name": "a", "lora_path": "<loras>/l0"}

_BODIES = {
    "empty-object": {},
    "null": None,
    "list": [],
    "text": "x",
    "number": 1,
    "name-missing": {"lora_path": "<loras>/l0"},
    "path-missing": {"lora_name": "a"},
    "name-empty": {**_GOOD, "lora_name": ""},
    "path-empty": {**_GOOD, "lora_path": ""},
    "name-null": {**_GOOD, "lora_name": None},
    "path-null": {**_GOOD, "lora_path": None},
    "name-number": {**_GOOD, "lora_name": 1},
    "name-boolean": {**_GOOD, "lora_name": True},
    "name-list": {**_GOOD, "lora_name": ["a"]},
    "path-number": {**_GOOD, "lora_path": 1},
    "both-wrong": {"lora_name": 1, "lora_path": 2},
    "in-place-null": {**_GOOD, "load_inplace": None},
    "in-place-text": {**_GOOD, "load_inplace": "maybe"},
    "in-place-text-true": {**_GOOD, "load_inplace": "true"},
    "in-place-one": {**_GOOD, "load_inplace": 1},
    "in-place-two": {**_GOOD, "load_inplace": 2},
    "in-place-list": {**_GOOD, "load_inplace": []},
    "moe-null": {**_GOOD, "is_3d_lora_weight": None},
    "moe-text": {**_GOOD, "is_3d_lora_weight": "x"},
    "field-unknown": {**_GOOD, "unknown": 1},
    "base-model-name": {**_GOOD, "base_model_name": "base"},
}

_PATHS = {
    "missing-folder": "<loras>/none",
    "relative-missing": "none/at/all",
    "repository-name": "acme/sql",
    "nul": "<loras>/l0\0",
    "trailing-slash": "<loras>/l0/",
    "dots": "<loras>/l0/../l1",
    "file": "<loras>/file",
    "too-long": "/" + "x" * 5000,
    "blank": " ",
    "home": "~/none",
    "inner-of-subfolder": "<loras>/subfolder/inner",
    "url": "https://example.invalid/a",
    "s3": "s3://acme/a",
}

_NAMES = {
    "blank": " ",
    "dot": "a.b",
    "slash": "team/a",
    "colon": "a:1",
    "unicode": "ä",
    "comma": "a,b",
    "quote": 'a"b',
    "newline": "a\nb",
    "long": "x" * 300,
    "base-model": "base",
}

CASES = (
    Case("loading/good", (load(), get("/v1/models"), completion("a"))),
    *(Case(f"loading/body/{name}", (post(_PATH, body), get("/v1/models"))) for name, body in _BODIES.items()),
    *(Case(f"loading/path/{name}", (load("a", path), get("/v1/models"))) for name, path in _PATHS.items()),
    *(Case(f"loading/name/{name}", (load(text), get("/v1/models"), completion(text))) for name, text in _NAMES.items()),
    *(Case(f"loading/folder/{name}", (load("a", f"<loras>/{name}"), get("/v1/models"))) for name in CATALOGUE),
    Case("loading/twice", (load(), load())),
    Case("loading/twice-other-path", (load(), load("a", "<loras>/l1"), get("/v1/models"))),
    Case("loading/same-path-two-names", (load(), load("b"), get("/v1/models"), completion("b"))),
    Case("loading/in-place", (load(), load("a", "<loras>/l1", load_inplace=True), get("/v1/models"), completion("a"))),
    Case("loading/in-place-first", (load("a", "<loras>/l0", load_inplace=True), get("/v1/models"))),
    Case("loading/in-place-missing", (load(), load("a", "<loras>/none", load_inplace=True), completion("a"))),
    Case("loading/in-place-broken", (load(), load("a", "<loras>/dora", load_inplace=True), completion("a"))),
    Case("loading/after-broken", (load("a", "<loras>/dora"), load(), completion("a"))),
    Case(
        "loading/beyond-the-cache",
        (
            *(load(name, f"<loras>/l{number}") for number, name in enumerate("abcdef")),
            get("/v1/models"),
            completion("a"),
            completion("f"),
            unload("b"),
            get("/v1/models"),
        ),
    ),
    Case("loading/not-json", (post(_PATH, content=b"lora_name=a", headers={"content-type": "application/json"}),)),
    Case(
        "loading/form",
        (post(_PATH, content=b"lora_name=a", headers={"content-type": "application/x-www-form-urlencoded"}),),
    ),
    Case("loading/no-content-type", (post(_PATH, content=b'{"lora_name": "a", "lora_path": "x"}'),)),
    Case("loading/text-plain", (post(_PATH, _GOOD, headers={"content-type": "text/plain"}),)),
    Case("loading/charset", (post(_PATH, _GOOD, headers={"content-type": "application/json; charset=utf-8"}),)),
    Case("loading/problem-json", (post(_PATH, _GOOD, headers={"content-type": "application/merge-patch+json"}),)),
    Case("loading/empty-body", (post(_PATH, content=b"", headers={"content-type": "application/json"}),)),
    Case(
        "loading/not-utf8",
        (post(_PATH, content=b'{"lora_name": "\xff"}', headers={"content-type": "application/json"}),),
    ),
    Case(
        "loading/repeated-key",
        (post(_PATH, content=b'{"lora_name": "a", "lora_name": "b"}', headers={"content-type": "application/json"}),),
    ),
    Case("loading/get", (get(_PATH),)),
    Case("loading/alias-route", (post("/adapters", _GOOD), get("/v1/models"))),
    Case("loading/served-name", (load("base"), load("alias"), get("/v1/models")), "two-names"),
    Case("loading/lora-disabled", (load(), get("/v1/models")), "no-lora"),
    Case("loading/lora-disabled-missing", (load("a", "<loras>/none"),), "no-lora"),
    Case("loading/updating-off", (load(), get("/v1/models"), unload()), "no-updating"),
    *(
        Case(f"loading/one-process/{name}", (load("a", f"<loras>/{name}"),), "one-process")
        for name in ("l0", "dora", "rank64", "no-tensors", "modules-unknown", "weights-text", "config-cut", "too-wide")
    ),
)
