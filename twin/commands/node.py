"""`twin node`: joins a served world with a node whose containers are processes of this machine."""

from pathlib import Path
from typing import Annotated

import typer

from twin.commands.common import OK, UsageError, exit_code
from twin.commands.serve import KUBECONFIG, server_connection, sigterm_as_interrupt


def register(app: typer.Typer) -> None:
    app.command()(node)


@exit_code
def node(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Of the Node.")] = "processes",
    kubeconfig: Annotated[Path, typer.Option(help="Of the served world; as `twin serve` wrote it.")] = KUBECONFIG,
    first_address: Annotated[
        str, typer.Option(help="Of the first pod; those after it get the next ones.")
    ] = "10.88.0.1",
    logs: Annotated[Path, typer.Option(help="Folder for what the processes print.")] = Path("twin-node"),
) -> int:
    """Run the pods of a served world that name this node as processes of this machine."""
    import asyncio
    from ipaddress import AddressValueError, IPv4Address, IPv4Network

    import httpx

    from controller.clock import SystemClock
    from twin.apiserver import ApiError
    from twin.process_node.client import ApiClient
    from twin.process_node.kubelet import NodeKubelet

    connection = server_connection(kubeconfig)
    try:
        address = IPv4Address(first_address)
    except AddressValueError:
        address = IPv4Address(0)
    if address not in IPv4Network("10.0.0.0/8"):
        raise UsageError(f"--first-address {first_address}: is no address of pods; allowed: such as 10.88.0.1")
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--logs {logs}: {error.strerror}") from error

    async def run() -> None:
        async with httpx.AsyncClient(
            base_url=connection.url, headers=connection.headers, verify=connection.trust, trust_env=False, timeout=10
        ) as client:
            print(
                f"node {name} joins {connection.url}; what containers print is in {logs}/; Ctrl-C ends it", flush=True
            )
            tell = lambda line: print(line, flush=True)  # noqa: E731
            await NodeKubelet(ApiClient(client), name, address, logs, SystemClock(), tell).run()

    try:
        with sigterm_as_interrupt():
            asyncio.run(run())
    except KeyboardInterrupt:
        return OK
    except ApiError as error:
        raise UsageError(f"twin node: {error.message}") from error
    except httpx.TransportError as error:
        raise UsageError(
            f"{connection.url}: the served world does not answer ({error}); does `twin serve` still run?"
        ) from error
    return OK
