"""Masks hide what differs by chance and nothing else."""

import pytest

from tests.conformance.playing.masking import Masker
from tests.conformance.playing.player import families

MASKER = Masker({"/tmp/x/loras": "<loras>"})


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"id": "cmpl-1", "created": 5}, {"id": "<id>", "created": "<time>"}),
        ({"id": "base", "root": "/tmp/x/loras/l0"}, {"id": "base", "root": "<loras>/l0"}),
        ({"text": "", "content": None, "token_ids": []}, {"text": "<text>", "content": None, "token_ids": []}),
        ({"delta": {"role": "assistant", "content": ""}}, {"delta": {"role": "assistant", "content": ""}}),
        ({"delta": {"content": ""}}, {"delta": {"content": "<text>"}}),
        ({"text": "abc", "finish_reason": "length"}, {"text": "<text>", "finish_reason": "length"}),
        ({"usage": {"prompt_tokens": 5}}, {"usage": {"prompt_tokens": 5}}),
        ({"token": "", "bytes": [], "logprob": -1}, {"token": "<token>", "bytes": "<bytes>", "logprob": "<number>"}),
        ({"stop_reason": 144}, {"stop_reason": "<token>"}),
        ({"stop_reason": "END"}, {"stop_reason": "END"}),
        ({"top_logprobs": [None, {"a": -1.0}]}, {"top_logprobs": [None, "<alternatives>"]}),
    ],
)
def test_values_are_masked_by_their_key(value: object, masked: object) -> None:
    assert MASKER.value(value) == masked


def test_token_counts_are_masked_where_the_prompt_is_text() -> None:
    assert MASKER.value({"prompt_tokens": 7, "n": 7}, mask_usage=True) == {"prompt_tokens": "<number>", "n": 7}
    assert MASKER.value({"prompt_token_ids": [7, 8]}, mask_usage=True) == {"prompt_token_ids": "<tokens>"}
    logprobs = {"prompt_logprobs": [None, {"7": -1.0}, {"8": -1.0}]}
    assert MASKER.value(logprobs, mask_usage=True) == {"prompt_logprobs": [None, "<alternatives>"]}


def test_equal_events_in_a_row_become_one() -> None:
    body = 'data: {"text": "a"}\n\ndata: {"text": "b"}\n\ndata: {"text": ""}\n\ndata: [DONE]\n\n'
    assert MASKER.events(body, mask_usage=False) == [{"text": "<text>"}, "[DONE]"]


def test_named_events_keep_their_name() -> None:
    body = 'event: ping\ndata: {"delta": "abc", "sequence_number": 4}\n\n'
    event = {"event": "ping", "data": {"delta": "<text>", "sequence_number": "<number>"}}
    assert MASKER.events(body, mask_usage=False) == [event]


def test_paths_addresses_and_request_ids_leave_a_text() -> None:
    text = "cmpl-4f2 at 0x7f00aa11bb22 in /root/venv/x.py, see /tmp/x/loras/l0"
    assert MASKER.text(text) == "cmpl-<id> at <address> in <path> see <loras>/l0"


def test_the_server_s_address_leaves_a_text() -> None:
    assert MASKER.text("http://127.0.0.1:4711/v1/models") == "<server>/v1/models"


def test_families_have_type_labels_and_bounds() -> None:
    page = (
        "# HELP vllm:wait_seconds Time.\n# TYPE vllm:wait_seconds histogram\n"
        'vllm:wait_seconds_bucket{model_name="m",le="0.5"} 1\nvllm:wait_seconds_bucket{model_name="m",le="+Inf"} 1\n'
        'vllm:wait_seconds_count{model_name="m"} 1\nvllm:wait_seconds_sum{model_name="m"} 0.1\n'
        "# TYPE process_open_fds gauge\nprocess_open_fds 3\n"
    )
    assert families(page) == {
        "process_open_fds": {"type": "gauge", "help": "", "labels": []},
        "vllm:wait_seconds": {"type": "histogram", "help": "Time.", "labels": ["model_name"], "bounds": ["0.5", "inf"]},
    }
