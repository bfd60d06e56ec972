"""State of a running server, from its own answers: its models, its settings, and its own times of requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from twin.calibration.load_test.client import CompletionClient, LoadTestError
from twin.calibration.load_test.records import ServerTimes

_STAGES = ("queue", "prefill", "decode")
_SHORT_PROMPT = (256, 257, 258, 259)


@dataclass(frozen=True, slots=True)
class ServedModels:
    """Names in the server's list of models."""

    base: str
    adapters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """Values of a server's `/metrics`: sums over labels by name, and labels of the `_info` series."""

    values: Mapping[str, float]
    labels: Mapping[str, Mapping[str, str]]

    @property
    def kv_tokens(self) -> int | None:
        """Size of the KV cache, in tokens; None if the page does not have it."""
        info = self.labels.get("vllm:cache_config_info", {})
        blocks, size = info.get("num_gpu_blocks", ""), info.get("block_size", "")
        return int(blocks) * int(size) if blocks.isdecimal() and size.isdecimal() else None

    @property
    def max_loras(self) -> int | None:
        """Value of `--max-loras`; None if the page does not have it: vLLM writes it when a step has run."""
        value = self.labels.get("vllm:lora_requests_info", {}).get("max_lora", "")
        return int(value) if value.isdecimal() else None


EMPTY_PAGE = MetricsPage({}, {})


async def read_models(client: CompletionClient, base: str = "") -> ServedModels:
    """Return the base model and its adapters; `base` is needed if the server has several base models.

    Raises:
        LoadTestError: if the server does not list models, or not that one.
    """
    response = await client.get("/v1/models")
    try:
        cards = {str(card["id"]): card for card in response.json()["data"]} if response.is_success else {}
    except (ValueError, TypeError, KeyError, AttributeError):
        cards = {}
    if not cards:
        raise LoadTestError(f"{client.url}: does not list models (GET /v1/models: status {response.status_code})")
    names = [name for name, card in cards.items() if card.get("parent") is None]
    if base and base not in names:
        raise LoadTestError(f"{client.url}: has no base model {base!r}; allowed: {', '.join(names)}")
    chosen = base or (names or list(cards))[0]
    return ServedModels(chosen, tuple(name for name, card in cards.items() if card.get("parent") is not None))


async def read_metrics(client: CompletionClient) -> MetricsPage:
    """Return the values of `/metrics`, none if the server does not have that page."""
    response = await client.get("/metrics")
    if not response.is_success:
        return EMPTY_PAGE
    values: dict[str, float] = {}
    labels: dict[str, Mapping[str, str]] = {}
    try:
        for family in text_string_to_metric_families(response.text):
            for sample in family.samples:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
                if sample.name.endswith("_info"):
                    labels[sample.name] = sample.labels
    except ValueError:
        return EMPTY_PAGE
    return MetricsPage(values, labels)


async def read_max_loras(client: CompletionClient, adapters: Sequence[str]) -> int | None:
    """Return the value of `--max-loras`; None if the server does not say it.

    vLLM has the series from the first step on, so an idle server is sent a completion of one token.
    """
    page = await read_metrics(client)
    if page.max_loras is None and page.values and adapters:
        await client.complete(adapters[0], _SHORT_PROMPT, 1)
        page = await read_metrics(client)
    return page.max_loras


def times_between(before: MetricsPage, after: MetricsPage) -> ServerTimes | None:
    """Return the means of the requests that ended between two readings; None if the server does not count them."""
    means = {}
    for stage in _STAGES:
        total, count = (
            after.values.get(name, 0.0) - before.values.get(name, 0.0)
            for name in (f"vllm:request_{stage}_time_seconds_sum", f"vllm:request_{stage}_time_seconds_count")
        )
        if count < 1:
            return None
        means[stage] = max(0.0, total / count)
    return ServerTimes(**means)
