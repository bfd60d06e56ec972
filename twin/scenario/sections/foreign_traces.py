"""Public files of requests in other forms: which one a file is, and how its fields correspond to those of a trace."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

MOST_KEYS = 8
"""Keys of a JSON object that a message names."""


@dataclass(frozen=True, slots=True)
class ForeignForm:
    """A form of file.

    Attributes:
        keys: columns or keys that only this form has.
        name: what it is called.
        remedy: how to make a trace of it.
    """

    keys: frozenset[str]
    name: str
    remedy: str


FORMS = (
    ForeignForm(
        # github.com/kvcache-ai/Mooncake, mooncake_trace.jsonl: milliseconds since the start
        frozenset({"timestamp", "input_length", "output_length"}),
        "a Mooncake trace",
        "timestamp / 1000 as time, input_length as prompt_tokens, output_length as output_tokens",
    ),
    ForeignForm(
        # github.com/HPMLL/BurstGPT: seconds since the start
        frozenset({"Timestamp", "Request tokens", "Response tokens"}),
        "a BurstGPT trace",
        "Timestamp as time, Request tokens as prompt_tokens, Response tokens as output_tokens",
    ),
    ForeignForm(
        frozenset({"conversations"}),
        "a ShareGPT file, which has neither times nor token counts",
        "a time of your own as time, the tokens of each human turn as prompt_tokens, of its answer as output_tokens",
    ),
    ForeignForm(
        # vllm/benchmarks/serve.py, --save-result --save-detailed
        frozenset({"input_lens", "output_lens"}),
        "a result of `vllm bench serve`, which has no times of arrival",
        "a time of your own as time, input_lens as prompt_tokens, output_lens as output_tokens",
    ),
)


def form_of(names: Iterable[str]) -> ForeignForm | None:
    """Return the form that has these columns or keys; None if it is not a known one."""
    given = set(names)
    return next((form for form in FORMS if form.keys <= given), None)


def json_keys(text: str) -> list[str] | None:
    """Return the keys of a JSON file's first object, or of the first line of JSON lines; None if it is not JSON."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    for part in (text, text.lstrip().partition("\n")[0]):
        try:
            value = json.loads(part)
        except ValueError:
            continue
        first = value[0] if isinstance(value, list) and value else value
        return list(first) if isinstance(first, dict) else []
    return None
