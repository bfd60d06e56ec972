"""Commands import slow packages only where they use them; what they import decides how soon they start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DRAWING = ("pandas", "matplotlib", "scipy")
SERVING = ("fastapi", "uvicorn", "starlette", "fake_vllm.sglang.routes")
RUNNING = ("numpy", "pyarrow", "httpx", "jinja2", "structlog", "prometheus_client")
_PROGRAM = """
import sys
from twin.cli import main
arguments, slow = sys.argv[1].split(), sys.argv[2].split()
sys.argv = ["twin", *arguments]
try:
    main()
finally:
    print("imported:", *(name for name in slow if sys.modules.get(name) is not None), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "slow"),
    [
        ("--help", (*DRAWING, *SERVING, *RUNNING, "pydantic", "rich", "ruamel.yaml", "importlib.metadata")),
        ("check scenarios/quickstart.yaml", (*DRAWING, *SERVING, *RUNNING, "rich")),
        ("run scenarios/quickstart.yaml --out {out}", (*DRAWING, *SERVING, "httpcore", "rich.traceback")),
    ],
)
def test_a_command_imports_nothing_slow_that_it_does_not_use(
    arguments: str, slow: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _PROGRAM, arguments.format(out=tmp_path), " ".join(slow)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "imported:\n"
