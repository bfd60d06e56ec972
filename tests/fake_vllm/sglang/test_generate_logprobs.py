"""Log-probabilities of SGLang's `/generate`, whose forms are from managers/tokenizer_manager.py."""

import json
from typing import Any

import numpy as np
import pytest

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of
from fake_vllm.http.messages import Request, Response
from fake_vllm.openai import tokenizer
from fake_vllm.router import handle
from twin.kernel import loop

PROMPT = "one two three"


def meta_info(status: int = 200, **fields: Any) -> dict[str, Any]:
    """Return `meta_info` of the answer of three tokens to a request with these fields."""
    config = EngineConfig(dialect="sglang")
    times = EngineTimes(Constant(0.0), Constant(0.0))
    engine = Engine(config, flavor_of(config), times, Randomness(np.random.default_rng(0)))
    body = {"text": PROMPT, "sampling_params": {"max_new_tokens": 3, "ignore_eos": True}, **fields}

    async def ask() -> Response:
        headers = {"content-type": "application/json"}
        response = await handle(engine, Request("POST", "/generate", headers, json.dumps(body).encode()))
        assert isinstance(response, Response)
        return response

    response = loop.run(ask())
    assert response.status == status
    content: dict[str, Any] = json.loads(response.body)
    return content.get("meta_info", {}) if status == 200 else content


def test_there_are_none_unless_they_are_asked_for() -> None:
    assert not [name for name in meta_info() if "logprobs" in name]


def test_each_generated_token_has_one_with_its_text_if_asked_for() -> None:
    tokens = meta_info(return_logprob=True)["output_token_logprobs"]
    assert [(len(entry), entry[2]) for entry in tokens] == [(3, None)] * 3
    texts = [
        entry[2] for entry in meta_info(return_logprob=True, return_text_in_logprobs=True)["output_token_logprobs"]
    ]
    assert [tokenizer.encode(text)[0] for text in texts] == [entry[1] for entry in tokens]


@pytest.mark.parametrize(("start", "listed"), [(None, 1), (-1, 1), (0, 4), (2, 2)])
def test_the_prompt_is_listed_from_a_token_on_whose_own_value_is_null(start: int | None, listed: int) -> None:
    values = [entry[0] for entry in meta_info(return_logprob=True, logprob_start_len=start)["input_token_logprobs"]]
    assert (len(values), values[0], None in values[1:]) == (listed, None, False)


def test_alternatives_are_as_many_as_asked_for() -> None:
    info = meta_info(return_logprob=True, logprob_start_len=0, top_logprobs_num=2)
    assert [len(entries) for entries in info["output_top_logprobs"]] == [2, 2, 2]
    assert info["input_top_logprobs"][0] is None


def test_chosen_tokens_are_refused() -> None:
    assert "token_ids_logprob" in meta_info(400, return_logprob=True, token_ids_logprob=[1])["message"]
