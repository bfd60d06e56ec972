"""Traces from CSV and Parquet: their content, and errors with their row."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.twin.scenario.conftest import FOUR_LINES
from twin.scenario import Scenario, load, resolved

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
OURS = "time,prompt_tokens,output_tokens\n"
TEMPLATE = """\
adapters:
  - name: a-{i}
    count: 5
    spec: {podSelector: {matchLabels: {app: qwen}}, artifactURL: "huggingface://acme/a-{i}"}
"""


def traced(folder: Any, text: str | bytes, name: str = "t.csv") -> Scenario:
    file: Path = folder.path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    result: Scenario = folder.load(FOUR_LINES + f"traffic: {{trace: {name}}}\n")
    return result


def test_a_trace_in_the_public_shape_is_read_as_it_is(folder: Any) -> None:
    rows = "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n"
    scenario = traced(folder, AZURE + rows)
    assert scenario.traffic is not None
    trace = scenario.traffic.trace
    assert trace is not None
    assert (trace.times, trace.prompts, trace.outputs) == ((0.0, 0.052), (4808, 3180), (10, 8))


def test_timestamps_may_name_their_zone(folder: Any) -> None:
    rows = "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 02:00:01.009930+02:00,2399,6\n"
    scenario = traced(folder, AZURE + rows)
    assert scenario.traffic is not None
    assert scenario.traffic.trace is not None
    assert scenario.traffic.trace.times == (0.0, 1.0)


def test_a_trace_may_name_adapters_and_give_durations(folder: Any) -> None:
    text = "time,adapter,prompt_tokens,output_tokens,remark\n250ms,sql,10,5,x\n1m,chat,20,6,\n"
    scenario = traced(folder, text)
    assert scenario.traffic is not None
    trace = scenario.traffic.trace
    assert trace is not None
    assert (trace.times, trace.adapters) == ((0.25, 60.0), ("sql", "chat"))


def test_parquet_is_read_likewise(folder: Any) -> None:
    table = pyarrow.table({"time": [0.0, 1.5], "prompt_tokens": [10, 20], "output_tokens": [3, 4]})
    pyarrow.parquet.write_table(table, folder.path / "t.parquet")
    scenario = folder.load(FOUR_LINES + "traffic: {trace: t.parquet}\n")
    assert (scenario.traffic.trace.times, scenario.traffic.trace.prompts) == ((0.0, 1.5), (10, 20))


def test_a_resolved_scenario_needs_no_trace_beside_it(folder: Any, tmp_path: Path) -> None:
    scenario = traced(folder, "time,prompt_tokens,output_tokens,adapter\n0.25,10,5,a\n3,20,6,b\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "scenario.yaml").write_text(resolved(scenario))
    assert load(elsewhere / "scenario.yaml") == scenario


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OURS + "1,10,5\n,10,5\n", '"t.csv" line 3: time is missing'),
        (OURS + "1,10,5\n\n2,10,5\n", '"t.csv" line 3: is empty'),
        (OURS + "2,10,5\n1,10,5\n", '"t.csv" line 3: the time is earlier than in the previous row'),
        (OURS + "-1,10,5\n", '"t.csv" line 2: the time is negative'),
        (OURS + "soon,10,5\n", '"t.csv" line 2: "soon" is not a time; allowed: seconds'),
        (OURS + "nan,10,5\n", '"t.csv" line 2: "nan" is not a time'),
        (OURS + "1,10\n", '"t.csv" line 2: has 2 cells, the heading has 3'),
        (OURS + "1,ten,5\n", '"t.csv" line 2: prompt_tokens is "ten"'),
        (OURS + "1,10,\n", '"t.csv" line 2: output_tokens is missing'),
        (OURS + "1,10,-5\n", '"t.csv" line 2: output_tokens is "-5"; allowed: a whole number, 0 or more'),
        (OURS, '"t.csv" contains no rows'),
        ("", '"t.csv" contains no rows'),
        ("time,length\n1,2\n", '"t.csv" line 1: missing column "prompt_tokens"; columns: time, length'),
        ("tme,prompt_tokens,output_tokens\n1,2,3\n", '"t.csv" line 1: unknown column "tme"; did you mean "time"?'),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n", '"t.csv" line 2: "yesterday" is not a time'),
        ("time,prompt_tokens,output_tokens,adapter\n1,2,3,\n", '"t.csv" line 2: adapter is missing'),
        (b"\xff\xfe\x00", 'cannot read "t.csv": it is not UTF-8 text'),
    ],
)
def test_errors_of_a_trace_have_their_row(folder: Any, text: str | bytes, message: str) -> None:
    (folder.path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    lines = folder.errors(FOUR_LINES + "traffic: {trace: t.csv}\n")
    assert any(line.startswith("s.yaml:5:18: traffic.trace: " + message) for line in lines), lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}\n' * 2,
            '"t.csv" line 1: is JSON, a Mooncake trace; allowed: CSV or Parquet with timestamp / 1000 as time,',
        ),
        (
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,API log\n",
            '"t.csv" line 1: the columns are those of a BurstGPT trace: Timestamp, Model, Request tokens,',
        ),
        ('[{"id": "x", "conversations": []}]', '"t.csv" line 1: is JSON, a ShareGPT file, which has neither times'),
        (
            '{"backend": "vllm", "input_lens": [1], "output_lens": [2], "ttfts": [0.1]}',
            '"t.csv" line 1: is JSON, a result of `vllm bench serve`, which has no times of arrival;',
        ),
        ('{"a": 1}', '"t.csv" line 1: is JSON, with the keys a; allowed: a CSV or Parquet file;'),
        ("[]", '"t.csv" line 1: is JSON, without objects; allowed: a CSV or Parquet file;'),
    ],
)
def test_a_public_file_of_another_form_is_named_with_the_columns_to_make_of_it(
    folder: Any, text: str, message: str
) -> None:
    (folder.path / "t.csv").write_text(text)
    (line,) = folder.errors(FOUR_LINES + "traffic: {trace: t.csv}\n")
    assert line.startswith("s.yaml:5:18: traffic.trace: " + message), line


def test_a_row_of_a_parquet_file_is_named_too(folder: Any) -> None:
    table = pyarrow.table({"time": [0.0, 5.0, 1.0], "prompt_tokens": [1, 2, 3], "output_tokens": [1, 1, 1]})
    pyarrow.parquet.write_table(table, folder.path / "t.parquet")
    lines = folder.errors(FOUR_LINES + "traffic: {trace: t.parquet}\n")
    assert any('"t.parquet" row 3: the time is earlier than in the previous row' in line for line in lines), lines


def test_a_trace_with_requests_to_unknown_adapters_is_refused(folder: Any) -> None:
    text = "time,adapter,prompt_tokens,output_tokens\n1,a-0,10,5\n2,b,10,5\n3,b,10,5\n"
    folder.write("t.csv", text)
    scenario = folder.load(FOUR_LINES + TEMPLATE + "traffic: {trace: t.csv}\n")
    assert scenario.notes[-1] == "2 requests of the trace are skipped, because their adapters never exist: b"


def test_the_shipped_trace_is_the_output_of_its_script() -> None:
    folder = Path(__file__).parents[4] / "scenarios/traffic"
    made = subprocess.run([sys.executable, folder / "azure_shaped.py"], capture_output=True, text=True, check=True)
    assert made.stdout == (folder / "azure-shaped.csv").read_text()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{trace: none.csv}", 'traffic.trace: cannot read "none.csv": No such file'),
        ("{trace: t.parquet}", 'traffic.trace: cannot read "t.parquet": it is not a Parquet file'),
        ("{trace: 7}", "traffic.trace: is not a file name"),
        ("{trace: {packed: nonsense}}", "traffic.trace.packed: cannot be unpacked"),
        ("{}", "traffic: has no rate"),
        ("{rate: 2/s, trace: t.csv}", "traffic: has both a rate and a trace"),
        ("{trace: t.csv, prompt_tokens: 7}", "traffic.prompt_tokens: prompt_tokens is set by the trace"),
        ("{rate: 2/s, prompt_tokens: 0}", "traffic.prompt_tokens: is not a number of tokens"),
        ("{rate: 2/s, output_tokens: {normal: 3}}", "traffic.output_tokens: is not a distribution of tokens"),
        ("{rate: 2/s, output_tokens: {uniform: [9, 3]}}", "traffic.output_tokens: is not a distribution of tokens"),
        ("{rate: 2/s, from: 2m, until: 1m}", "traffic.until: ends before it starts"),
        ("{rate: 2/s, balance: best}", 'traffic.balance: is "best"'),
        ("{rate: 0/s}", "traffic.rate: must be above 0"),
    ],
)
def test_errors_of_traffic_are_reported(folder: Any, section: str, message: str) -> None:
    (folder.path / "t.parquet").write_text("no")
    (folder.path / "t.csv").write_text(OURS + "1,2,3\n")
    lines = folder.errors(FOUR_LINES + f"traffic: {section}\n")
    assert any(message in line for line in lines), lines


@pytest.mark.parametrize(
    ("form", "mean"),
    [
        ("300", 300.0),
        ("{uniform: [100, 200]}", 150.0),
        ("{empirical: [10, 20, 60]}", 30.0),
        ("{lognormal: {median: 256, p95: 256}}", 256.0),
    ],
)
def test_lengths_are_numbers_or_distributions(folder: Any, form: str, mean: float) -> None:
    scenario = folder.load(FOUR_LINES + f"traffic: {{rate: 2/s, prompt_tokens: {form}}}\n")
    assert scenario.traffic.prompt_tokens.mean() == pytest.approx(mean)


def test_arrivals_come_from_csv_with_or_without_a_heading_and_from_parquet(folder: Any) -> None:
    folder.write("bare.csv", "1\n250s\n")
    folder.write("headed.csv", "name,time\nx,1\ny,250\n")
    folder.write("old.csv", "seconds\n1\n250\n")
    pyarrow.parquet.write_table(pyarrow.table({"time": [1.0, 250.0]}), folder.path / "t.parquet")
    for name in ("bare.csv", "headed.csv", "old.csv", "t.parquet"):
        scenario = folder.load(FOUR_LINES + TEMPLATE + f"    arrive: {{trace: {name}}}\n")
        assert scenario.adapters[0].arrive.trace == (1.0, 250.0), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5\n1\n", '"t.csv" line 2: the time is earlier than in the previous row'),
        ("time\n1\n-2\n", '"t.csv" line 3: the time is negative'),
        ("1\n\n2\n", '"t.csv" line 2: time is missing'),
        ("time\n", '"t.csv" contains no rows'),
    ],
)
def test_errors_of_arrivals_have_their_row(folder: Any, text: str, message: str) -> None:
    folder.write("t.csv", text)
    lines = folder.errors(FOUR_LINES + TEMPLATE + "    arrive: {trace: t.csv}\n")
    assert any(message in line for line in lines), lines


def test_arrivals_in_a_list_come_in_order(folder: Any) -> None:
    lines = folder.errors(FOUR_LINES + TEMPLATE + "    arrive: {trace: [9s, 1s]}\n")
    assert any("arrive.trace.1: is earlier than the previous one" in line for line in lines), lines
