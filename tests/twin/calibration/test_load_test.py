"""The load test of `twin calibrate --measure`, driven against the fake engine on sockets and against odd servers."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.fake_vllm.processes import running
from tests.ports import free_port
from twin import cli
from twin.calibration.load_test.client import CompletionClient, LoadTestError
from twin.calibration.load_test.driver import LoadTestDriver, LoadTestSettings
from twin.calibration.load_test.levels import Grid, shuffled
from twin.calibration.load_test.records import LevelRun, ServerSettings
from twin.calibration.load_test.server import read_max_loras, read_metrics, read_models
from twin.commands.load_test import _adapter_counts

GRID = Grid(concurrency=(1, 2), prompt_tokens=(16, 40), output_tokens=(4,), adapters=(0, 2))
ADAPTERS = ("--lora-modules", "a=/a", "b=/b")


def silent(_share: float, _text: str) -> None:
    pass


async def measured(port: int, key: str = "", budget: float = 60.0, grid: Grid = GRID) -> tuple[LevelRun, ...]:
    client = CompletionClient(f"http://127.0.0.1:{port}", key, 10.0)
    try:
        models = await read_models(client)
        settings = LoadTestSettings(models.base, models.adapters, grid, budget, repetitions=2)
        return await LoadTestDriver(client, settings, silent).run()
    finally:
        await client.close()


def test_every_level_is_run_twice_with_its_own_lengths_and_adapters() -> None:
    async def story() -> tuple[LevelRun, ...]:
        async with running(*ADAPTERS) as (port, _):
            return await measured(port)

    runs = asyncio.run(story())
    levels = GRID.levels()
    assert len(levels) == 6  # two adapters need two clients
    assert [run.level for run in runs[:6]] == list(shuffled(levels, 0, 0))
    assert [run.level for run in runs[6:]] == list(shuffled(levels, 0, 1))
    for run in runs:
        assert len(run.requests) == run.level.requests
        assert run.server is not None
        for request in run.requests:
            lengths = (request.prompt_tokens, request.output_tokens)
            assert lengths == (run.level.prompt_tokens, run.level.output_tokens)
            assert request.in_flight < run.level.concurrency


def test_no_prompt_meets_the_prefix_cache() -> None:
    async def story() -> float:
        async with running(*ADAPTERS) as (port, _):
            await measured(port)
            client = CompletionClient(f"http://127.0.0.1:{port}/v1", "", 10.0)
            page = await read_metrics(client)
            await client.close()
            return page.values["vllm:prefix_cache_hits_total"]

    assert asyncio.run(story()) == 0


def test_a_budget_that_ends_before_the_second_repetition_is_refused() -> None:
    async def story() -> None:
        async with running() as (port, _):
            await measured(port, budget=1e-6, grid=Grid((1, 2), (8, 16), (2,)))

    with pytest.raises(LoadTestError, match="levels need 8: give more time or fewer levels"):
        asyncio.run(story())


def test_an_idle_server_says_its_lora_slots_after_a_first_step() -> None:
    """vLLM has `lora_requests_info` from the first step on."""

    async def story() -> tuple[int | None, int | None]:
        async with running(*ADAPTERS, "--max-loras", "3", "--max-cpu-loras", "5") as (port, _):
            client = CompletionClient(f"http://127.0.0.1:{port}", "", 10.0)
            result = await read_max_loras(client, ["a"]), (await read_metrics(client)).max_loras
            await client.close()
            return result

    assert asyncio.run(story()) == (3, 3)


def test_a_server_without_metrics_says_nothing_of_lora_slots() -> None:
    async def story() -> int | None:
        async with await asyncio.start_server(answering("text/html", "", "404"), "127.0.0.1", port := free_port()):
            client = CompletionClient(f"http://127.0.0.1:{port}", "", 10.0)
            result = await read_max_loras(client, ["a"])
            await client.close()
            return result

    assert asyncio.run(story()) is None


@pytest.mark.parametrize(
    ("slots", "in_memory", "available", "counts"),
    [
        (1, 1, 8, (0, 1, 2)),
        (2, 4, 8, (0, 1, 2, 3, 4, 5)),  # one more than in the slots, one more than in memory
        (4, 16, 8, (0, 1, 2, 4, 5)),
        (2, 4, 0, (0,)),
    ],
)
def test_levels_use_one_adapter_more_than_there_is_room_for(
    slots: int, in_memory: int, available: int, counts: tuple[int, ...]
) -> None:
    server = ServerSettings("base", 256, 2048, slots, in_memory, 16)
    assert _adapter_counts(available, 8, server) == counts


@pytest.mark.parametrize(
    ("key", "message"), [("", "needs a key: --api-key-file, or"), ("wrong-key", "refuses the key")]
)
def test_a_missing_or_wrong_key_is_said_without_the_key(key: str, message: str) -> None:
    async def story() -> None:
        async with running("--api-key", "sesame") as (port, _):
            await measured(port, key)

    with pytest.raises(LoadTestError, match=message) as caught:
        asyncio.run(story())
    assert "wrong-key" not in str(caught.value)


def test_the_right_key_opens() -> None:
    async def story() -> tuple[LevelRun, ...]:
        async with running("--api-key", "sesame") as (port, _):
            return await measured(port, "sesame", grid=Grid((1, 2), (8, 16), (2,)))

    assert asyncio.run(story())


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(content_type: str, body: str, status: str = "200 OK") -> Handler:
    """Return a server that lists one model and answers completions with `body`."""
    models = json.dumps({"object": "list", "data": [{"id": "base", "parent": None}]})

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)  # closing with unread bytes resets the connection
        is_post = head.startswith("POST")
        text, kind, code = (body, content_type, status) if is_post else (models, "application/json", "200 OK")
        writer.write(f"HTTP/1.1 {code}\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    return handle


EVENT = 'data: {"choices":[{"text":"a\u0085b"}]}\n\n'
USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (answering("application/json", "{}"), "does not stream completions"),
        (answering("text/event-stream", EVENT), "without tokens or without `usage`"),
        (answering("text/event-stream", 'data: {"error":{"message":"dead"}}\n\n'), "ended with an error"),
        (answering("application/json", '{"error":{"message":"no\\nroom"}}', "400 Bad Request"), "status 400: no room"),
        (answering("text/html", "<p>busy", "503 Busy"), "refuses a completion with status 503: <p>busy"),
    ],
)
def test_a_server_that_cannot_be_measured_is_described_in_one_line(handler: Handler, message: str) -> None:
    async def story() -> None:
        async with await asyncio.start_server(handler, "127.0.0.1", port := free_port()):
            await measured(port)

    with pytest.raises(LoadTestError) as caught:
        asyncio.run(story())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_separator_within_an_answer_does_not_end_its_event() -> None:
    """vLLM writes U+0085 as it is; seen with a model of random weights."""

    async def story() -> int:
        handler = answering("text/event-stream", EVENT + EVENT + USAGE)
        async with await asyncio.start_server(handler, "127.0.0.1", port := free_port()):
            client = CompletionClient(f"http://127.0.0.1:{port}", "", 10.0)
            answer = await client.complete("base", [1, 2, 3], 2)
            await client.close()
            return answer.output_tokens

    assert asyncio.run(story()) == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing to fit: give a SOURCE, or --measure URL"),
        (["--measure", "10.0.3.7:8000"], "--measure 10.0.3.7:8000: is not an address; allowed: such as http://"),
        (["--measure", "http://127.0.0.1:1"], "http://127.0.0.1:1: no answer: "),
        (["--measure", "http://x", "--budget", "soon"], "--budget: "),
        (["--measure", "http://x", "--budget", "0s"], "--budget 0s: allowed: a duration above 0"),
        (["--measure", "http://x", "--concurrency", "4"], "--concurrency 4: allowed: 2 to 16 whole numbers"),
        (["--measure", "http://x", "--prompt-tokens", "a,b"], "--prompt-tokens a,b: allowed: 2 to 16 whole numbers"),
        (["--measure", "http://x", "--output-tokens", "1"], "--output-tokens 1: allowed: 1 to 16 whole numbers"),
        (["--measure", "http://x", "--engine-args", "--max-lora 4"], "--engine-args: "),
        (["--measure", "http://x", "--api-key-file", "none"], "--api-key-file none: cannot be read: No such file"),
        (["none.json"], "none.json: cannot be read: No such file"),
    ],
)
def test_an_invalid_command_is_refused_before_anything_is_written(
    args: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["twin", "calibrate", *args])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
