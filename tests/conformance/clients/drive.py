"""Drives one client against a server, and prints what it got as JSON, one line for each step.

python drive.py CLIENT URL LORAS

Run by the Python of the clients' own installation. A step is a function of `drive_CLIENT.py`; before each, the line
`{"begins": NAME}` is printed and an empty line awaited on standard input.
"""

import importlib
import json
import sys
from typing import Any


def main() -> None:
    client, url, loras = sys.argv[1:]
    module = importlib.import_module(f"drive_{client.replace('-', '_')}")
    for name, step in module.steps(url, loras).items():
        _print({"begins": name})
        sys.stdin.readline()
        _print({"name": name, "outcome": _outcome(step)})


def _outcome(step: Any) -> Any:
    try:
        return described(step())
    except Exception as error:
        status = getattr(error, "status_code", None)
        message = None if status is None else str(error)  # without a status it quotes the generated text
        return {"raises": _class_of(error), "status": status, "message": message}


def described(value: Any) -> Any:
    """Return a value as JSON; objects of a client with their class and fields."""
    if isinstance(value, dict):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "model_dump"):
        return {"class": _class_of(value), "fields": {name: described(item) for name, item in dict(value).items()}}
    return {"class": _class_of(value)}


def _class_of(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _print(line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
