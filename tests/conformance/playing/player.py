"""Plays cases to a server and records its answers."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.exchange import ABSENT, Case, Request
from tests.conformance.playing.masking import HEADERS, Masker

Answer = dict[str, Any]
"""`status`, `headers`, and one of `json`, `text`, `events`, `families`; or only `error` if the connection broke."""

_COUNTER = re.compile(r"^(vllm:\w+_(?:total|count|sum))(?:\{(.*)\})? (\S+)$", re.MULTILINE)
"""A sample of a counter, or of a histogram's count and sum: name, labels and value."""
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_LOADING = re.compile("lora|adapters|invocations")
"""In the path of each request that may leave an adapter behind."""


class Player:
    """Plays to one server.

    Args:
        client: sends requests to the server.
        loras: folder of the adapters, put in place of `<loras>` in request bodies.
        masker: masks the answers.
        headers: sent with every request of the player's own, such as the API key.
    """

    def __init__(
        self, client: httpx.Client, loras: str, masker: Masker, headers: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self._loras = loras
        self._masker = masker
        self._headers = dict(headers or {})
        self._loaded = False

    def play(self, case: Case) -> list[Answer]:
        """Unload every adapter, then return the answers to a case's steps."""
        self._unload_all()
        return [self.answer(step) for step in case.steps]

    def answer(self, request: Request) -> Answer:
        """Send one request and return what the server answered, masked."""
        self._loaded = self._loaded or bool(_LOADING.search(request.path))
        before = self._counters() if request.counts else {}
        try:
            response = self._send(request)
        except httpx.TransportError as error:
            return {"error": type(error).__name__}
        answer = self._masked(request, response)
        if request.counts:
            answer["counts"] = _increase(before, self._counters())
        return answer

    def _send(self, request: Request) -> httpx.Response:
        content = request.content
        headers = dict(request.headers)
        if request.json is not ABSENT:
            text = json.dumps(request.json).replace("<loras>", self._loras)
            content = text.encode()
            headers = {"content-type": "application/json", **headers}
        sent = [*headers.items(), *request.more_headers]
        return self._client.request(request.method, request.path, content=content, headers=sent)

    def _masked(self, request: Request, response: httpx.Response) -> Answer:
        headers = {name: self._masker.text(response.headers[name]) for name in HEADERS if name in response.headers}
        answer: Answer = {"status": response.status_code, "headers": headers}
        kind = response.headers.get("content-type", "")
        if not response.content:
            answer["text"] = ""
        elif kind.startswith("text/event-stream"):
            answer["events"] = self._masker.events(response.text, mask_usage=request.mask_usage)
        elif kind.startswith("application/json") and request.path.endswith("openapi.json"):
            answer["json"] = {"paths": sorted(response.json().get("paths", {}))}
        elif kind.startswith("application/json"):
            answer["json"] = self._masker.value(response.json(), mask_usage=request.mask_usage)
        elif kind.startswith(("text/plain; version=", "application/openmetrics-text")):
            answer["families"] = families(response.text)
        elif kind.startswith("text/html"):
            answer["text"] = "<page>"
        else:
            answer["text"] = self._masker.text(response.text)
        return answer

    def _unload_all(self) -> None:
        if not self._loaded:
            return
        self._loaded = False
        listed = self._client.get("/v1/models", headers=self._headers)
        if listed.status_code != 200:
            return
        for model in listed.json()["data"]:
            if model.get("parent"):
                body = {"lora_name": model["id"]}
                self._client.post("/v1/unload_lora_adapter", json=body, headers=self._headers)

    def _counters(self) -> dict[str, float]:
        """Return the server's counters by name and labels, without those of time."""
        page = self._client.get("/metrics", headers=self._headers).text
        samples: dict[str, float] = {}
        for name, labels, value in _COUNTER.findall(page):
            if not name.endswith("_seconds_sum"):
                kept = {key: text for key, text in _LABEL.findall(labels) if key not in ("model_name", "engine")}
                samples[f"{name}{json.dumps(kept, sort_keys=True) if kept else ''}"] = float(value)
        return samples


_CHANCE = ("vllm:iteration_tokens_total_count",)
"""Counters that depend on how fast requests come: the number of the scheduler's steps."""
_LABELLED_WHEN_USED = ("vllm:lora_requests_info", "vllm_lora_requests_info")
"""Families that have samples, and so labels, only after a request of an adapter."""


def families(page: str) -> dict[str, Any]:
    """Return a page's metric families: type, help, labels and (of histograms) bucket bounds, by name.

    Pages of OpenMetrics are read alike: the library's parser of that format refuses vLLM's names.
    """
    result: dict[str, Any] = {}
    for family in text_string_to_metric_families(page):
        labels = sorted({label for sample in family.samples for label in sample.labels if label != "le"})
        entry: dict[str, Any] = {"type": family.type, "help": family.documentation}
        if family.name not in _LABELLED_WHEN_USED:
            entry["labels"] = labels
        bounds = sorted({float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels})
        if bounds:
            entry["bounds"] = [str(bound) for bound in bounds]
        result[family.name] = entry
    return dict(sorted(result.items()))


def _increase(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    changes = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {name: change for name, change in sorted(changes.items()) if change and name not in _CHANCE}
