"""Report of a run with ten thousand adapters: CPU to draw it, size, and time until Chromium has rendered it.

The last is measured where a `chromium` is at hand: a page with nothing but a frame opens the report and says when it
has been loaded and laid out.
"""

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.twin.synthetic import MEASURES, a_run
from twin.report import RunResult, build_report
from twin.trace.lines import Line, TrafficLine

ADAPTERS, PODS, HOUR = 10_000, 400, 3600.0
REQUESTED = 2_000
"""Adapters that get requests in each minute."""
_FRAME = """\
<!doctype html><iframe src="report.html" width="1200" height="900"></iframe>
<script>
const began = performance.now();
document.querySelector("iframe").onload = () => { document.body.dataset.took = performance.now() - began; };
</script>
"""


def lines() -> list[Line]:
    """Return a trace with traffic."""
    traffic = [
        TrafficLine(
            t=60.0 * (minute + 1),
            object=f"default/sql-{(minute * 37 + number) % ADAPTERS:02}",
            seconds=60.0,
            requests=3,
            ok=2,
            queued=1,
            causes={"503": 1},
            first_token_seconds=[0.02, 0.03 + number / 1e5],
            end_to_end_seconds=[0.5, 0.6],
        )
        for minute in range(int(HOUR // 60))
        for number in range(REQUESTED)
    ]
    return sorted([*a_run(pods=PODS, adapters=ADAPTERS, duration=HOUR), *traffic], key=lambda line: line.t)


def opened(html: str) -> float | None:
    """Return the seconds until Chromium has rendered the page; None without Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "report.html").write_text(html, encoding="utf-8")
        (Path(folder) / "frame.html").write_text(_FRAME, encoding="utf-8")
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        ran = subprocess.run(
            [*command, f"file://{folder}/frame.html"], capture_output=True, text=True, timeout=60, check=False
        )
    took = re.search(r'data-took="([\d.]+)"', ran.stdout)
    return float(took[1]) / 1000 if took else None


def measure() -> dict[str, float]:
    """Figures for `make bench`."""
    record = lines()
    started = time.process_time()
    report = build_report(RunResult(record, MEASURES, []))
    figures = {
        "10,000 adapters: CPU seconds to draw": time.process_time() - started,
        "10,000 adapters: MB of the page": len(report.html.encode()) / 1e6,
    }
    seconds = opened(report.html)
    return figures if seconds is None else {**figures, "10,000 adapters: seconds until Chromium shows it": seconds}
