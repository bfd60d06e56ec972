"""Old names of commands and flags are refused, and the message gives the new name."""

import pytest
from typer.testing import CliRunner

from twin.cli import app
from twin.commands.renamed import renamed_error


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("pace --speed 2", "unknown command pace; it is called clock now"),
        ("serve f.yaml --apart", "unknown flag --apart; it is called --operator-process now"),
        ("serve --plain f.yaml", "unknown flag --plain; it is called --insecure-http now"),
        ("serve f.yaml --once --out x", "unknown flag --once; it is called --until-end now"),
        ("serve f.yaml --kill-every=5m", "unknown flag --kill-every; it is called --crash-interval now"),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(args: str, message: str) -> None:
    result = CliRunner().invoke(app, args.split())
    assert (result.exit_code, result.output.splitlines()) == (2, [message])


def test_an_old_flag_after_two_dashes_is_an_argument() -> None:
    assert renamed_error(["serve", "--", "--apart"]) == ""
