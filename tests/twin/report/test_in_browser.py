"""The report in Chromium, if there is one: scripts run without errors, and an address restores its state."""

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.twin.synthetic import MEASURES, a_run
from twin.report import RunResult, build_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """<script>
addEventListener("error", event => { document.body.dataset.error = event.message; });
addEventListener("load", () => { document.body.dataset.width = document.documentElement.scrollWidth; });
</script></head>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a made-up run, which notes errors and its width in attributes of its body."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    html = build_report(RunResult(a_run(), MEASURES, [])).html
    file.write_text(html.replace("</head>", PROBE), encoding="utf-8")
    return file


def opened(page: Path, fragment: str, width: int = 1280) -> str:
    """Return the document after its scripts have run."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},900",
        f"--user-data-dir={page.parent / 'profile'}",
        "--virtual-time-budget=1000",
        "--dump-dom",
        f"{page.as_uri()}#{quote(fragment, safe='=&/')}",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def shown_rows(html: str) -> list[str]:
    return re.findall(r'<tr id="([^"]+)" data-phase="[^"]*">', html)


def test_an_address_restores_filter_order_and_zoom(page: Path) -> None:
    html = opened(page, "t=300-600&q=sql&phase=Running&sort=-5")
    assert "data-error" not in html
    failed = [int(cell) for cell in re.findall(r"<td>(\d+)</td><td data-v=", html)]
    assert failed == sorted(failed, reverse=True), "sorted by failed loads"
    assert len(shown_rows(html)) == 12
    assert "12 of 40 shown" in html
    assert 'aria-sort="descending"' in html
    run = re.search(r'<svg class="figure"[^>]*aria-labelledby="phases-t.*?</svg>', html, re.DOTALL)
    assert run is not None
    ticks = re.findall(r'class="tick"[^>]*text-anchor="middle">([\d:]+)<', run[0])
    assert (ticks[0], ticks[-1]) == ("5:00", "10:00")


def test_a_link_to_an_adapter_shows_its_row_on_a_phone_without_sideways_scrolling(page: Path) -> None:
    html = opened(page, "default/sql-39", width=500)
    assert "data-error" not in html
    assert "default/sql-39" in shown_rows(html)
    width = re.search(r'data-width="(\d+)"', html)
    assert width is not None
    assert int(width[1]) <= 500
    assert html.count("min-width: 0") >= 4, "figures are laid out for the narrow screen"
