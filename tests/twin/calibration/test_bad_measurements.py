"""Unusable measurements are refused with exit code 2 and one line that says where; nothing is written."""

import socket
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from twin import cli
from twin.scenario import ScenarioErrors, load

GOOD = "load_seconds\n1.5\n2.5\n"
PAGE = """\
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_bucket{le="0.01"} 5
vllm:inter_token_latency_seconds_bucket{le="0.025"} 9
vllm:inter_token_latency_seconds_bucket{le="+Inf"} 9
vllm:inter_token_latency_seconds_count 9
vllm:inter_token_latency_seconds_sum 0.09
"""


def twin(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["twin", "calibrate", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "load_seconds\n1\n-2\n", "m.csv: line 3: load_seconds is negative; allowed: seconds, at least 0"),
        ("m.csv", "load_seconds\n1\nsoon\n", 'm.csv: line 3: load_seconds "soon" is not a number'),
        ("m.csv", "load_seconds\n1\nnan\n", "m.csv: line 3: load_seconds is nan"),
        ("m.csv", "load_seconds,unload_seconds\n1\n", "m.csv: line 2: has 1 cells, the heading has 2"),
        ("m.csv", "load_seconds\n1\n\n2\n", "m.csv: line 3: is empty"),
        ("m.csv", "load_second\n1\n", 'm.csv: line 1: unknown column "load_second"; did you mean "load_seconds"?'),
        (
            "m.csv",
            "itl_seconds,inter_token_seconds\n1,1\n",
            'm.csv: line 1: column "inter_token_seconds" occurs twice',
        ),
        ("m.csv", "colour,size\nred,1\n", "m.csv: line 1: no column to fit; found: colour, size; allowed: startup"),
        ("m.csv", "ttft_seconds\n1\n", 'm.csv: line 1: ttft_seconds needs a column "prompt_tokens"'),
        ("m.csv", "output_tokens\n1.5\n", "m.csv: line 2: output_tokens is 1.5; allowed: an integer, at least 1"),
        ("m.csv", "load_seconds\n", "m.csv: contains no rows"),
        ("m.csv", "", "m.csv: is empty"),
        ("m.csv", "load_seconds,remark\n,x\n", "m.csv: nothing to fit"),
        ("m.parquet", "no", "m.parquet: cannot be read: it is not a Parquet file"),
        ("page", "{]\n", "page: is not a page of metrics"),
        ("page", "# TYPE up gauge\nup 1\n", "page: contains no histogram"),
    ],
)
def test_errors_of_a_source_have_their_position(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, text: str, said: str
) -> None:
    Path(name).write_text(text)
    assert twin(monkeypatch, name) == 2
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert told.count("\n") == 1
    assert not Path("calibrated.yaml").exists()


def test_a_row_of_a_parquet_file_is_named_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"load_seconds": [1.0, -1.0]}), "m.parquet")
    assert twin(monkeypatch, "m.parquet") == 2
    assert "m.parquet: row 2: load_seconds is negative" in capsys.readouterr().err


def test_an_address_that_does_not_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/metrics"
        assert twin(monkeypatch, url) == 2
    assert f"{url}: no answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.csv"], "none.csv: cannot be read: No such file or directory"),
        (["m.csv", "--out", "there.yaml"], "--out there.yaml: exists and was not made by twin calibrate"),
        (["m.csv", "--out", "times.txt"], "--out times.txt: is not the name of a YAML file"),
        (["m.csv", "--out", "m.csv/x.yaml"], "--out m.csv/x.yaml: cannot be written"),
        (["m.csv", "--base", "l5"], "--base: l5: cannot be read: No such file or directory; presets: llama"),
        (["page", "other"], "other: vllm:inter_token_latency_seconds has other buckets than on the previous page"),
    ],
)
def test_an_invalid_command_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    Path("m.csv").write_text(GOOD)
    Path("there.yaml").write_text("startup: 5s\n")
    Path("page").write_text(PAGE)
    Path("other").write_text(PAGE.replace("0.025", "0.05"))
    assert twin(monkeypatch, *words) == 2
    assert capsys.readouterr().err.startswith(said)
    assert Path("there.yaml").read_text() == "startup: 5s\n"


def test_its_own_output_file_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("m.csv").write_text(GOOD)
    assert twin(monkeypatch, "m.csv") == 0
    before = Path("calibrated.yaml").read_text()
    assert twin(monkeypatch, "m.csv", "--model", "acme/base") == 0
    assert Path("calibrated.yaml").read_text() != before


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("{parameters: none.yaml}", "parameters: none.yaml: cannot be read: No such file or directory"),
        ("{parameters: bad.yaml}", 'parameters: bad.yaml: load: "soon" is not a duration'),
        ("{parameters: [x]}", "parameters: is no file"),
        ("{timing: {step_base: 0s, per_sequence: 0s}}", "timing.step_base: step_base and per_sequence are both 0"),
        ("{timing: {step_bas: 1ms}}", 'timing.step_bas: unknown field "step_bas"; did you mean "step_base"?'),
    ],
)
def test_an_invalid_file_of_times_in_a_scenario_is_reported_with_its_position(engine: str, said: str) -> None:
    Path("bad.yaml").write_text("load: soon\n")
    Path("s.yaml").write_text(f"name: s\ncluster:\n  engines:\n    default: {engine}\n")
    with pytest.raises(ScenarioErrors) as caught:
        load("s.yaml")
    (line,) = [str(problem) for problem in caught.value.problems if "pods" not in str(problem)]
    assert line.startswith("s.yaml:4:")
    assert f": cluster.engines.default.{said}" in line
