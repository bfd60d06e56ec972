"""The analysis API inside a running event loop, as in a notebook."""

import asyncio
from pathlib import Path

from tests.twin.experiments.tiny import a_file
from twin import analysis


def test_runs_and_sweeps_can_be_made_from_within_an_event_loop(tmp_path: Path) -> None:
    async def notebook() -> tuple[Path, int]:
        folder = analysis.run(a_file(tmp_path), seed=4, out=tmp_path)
        sweep = analysis.sweep(
            a_file(tmp_path), {"controller.max_requests_per_pod": [4, 8]}, seeds=1, jobs=1, out=tmp_path
        )
        return folder, len(sweep)

    assert asyncio.run(notebook()) == (tmp_path / "tiny/4", 2)
