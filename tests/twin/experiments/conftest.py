"""Fixtures of the tests of experiments."""

from collections.abc import Callable

import pytest

from twin import cli


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `twin` with arguments and return its exit code."""

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["twin", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    return run
