"""`lora-controller`: the operator's command line.

Speaking to a live cluster needs `kube.py`, which comes with a later version; until then the command says so.
"""

from importlib.metadata import version
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lora-controller {version('lora-twin')}")
        raise typer.Exit


@app.command()
def run(
    kubeconfig: Annotated[str, typer.Option(help="Cluster to act on (comes with a later version).")] = "",  # noqa: ARG001
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """The operator for ModelAdapters.

    This version runs it in the twin only (`twin run FILE`): acting on a live cluster comes with a later one.
    """
    typer.echo(
        "lora-controller: a live cluster is not supported yet; run the operator in the twin: twin run FILE", err=True
    )
    raise typer.Exit(2)


def main() -> None:
    """Entry point of the `lora-controller` command."""
    app(prog_name="lora-controller")


if __name__ == "__main__":
    main()
