"""The child process that runs tasks with the operator of another checkout.

Imports nothing that imports `controller` at its top: the child first replaces that package, then imports the rest.
"""

import importlib.util
import sys
from pathlib import Path

import msgspec

from twin.experiments.execution.framing import receive, send


def serve(source: str) -> None:
    """Run the tasks that arrive on stdin with the operator in `source`; return when stdin ends.

    Answers each task with its row, None (a check) with None, and anything with a text if the operator is unusable.
    """
    pipe, sys.stdout = sys.stdout.buffer, sys.stderr
    error_text = ""
    try:
        use_controller_from(source)
        from twin.experiments.execution import trial
    except Exception as error:
        error_text = " ".join(f"cannot be run by this twin: {type(error).__name__}: {error}".split())
    while True:
        try:
            task = receive(sys.stdin.buffer)
        except EOFError:
            return
        send(pipe, error_text or (None if task is None else trial.perform(msgspec.structs.replace(task, source=""))))


def use_controller_from(source: str) -> None:
    """Make `import controller` mean the package in `source`, for everything that is imported afterwards.

    Raises:
        ImportError: if an operator has been imported already, or `source` has none.
    """
    if "controller" in sys.modules:
        raise ImportError("another operator has been imported already")
    package = Path(source) / "controller"
    spec = importlib.util.spec_from_file_location(
        "controller", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{package} is not a Python package")
    module = importlib.util.module_from_spec(spec)
    sys.modules["controller"] = module
    spec.loader.exec_module(module)
