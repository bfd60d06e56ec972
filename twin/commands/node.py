"""`twin node`: adds a node to a running `twin serve` whose containers are processes of this machine."""

from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated

import typer

from twin.commands.common import OK, UsageError, exit_code, print_errors
from twin.commands.serve import KUBECONFIG, no_response, server_connection


def register(app: typer.Typer) -> None:
    app.command()(node)


@exit_code
def node(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the Node.")] = "processes",
    kubeconfig: Annotated[Path, typer.Option(help="Kubeconfig that `twin serve` wrote.")] = KUBECONFIG,
    first_address: Annotated[
        str, typer.Option(help="Address of the first pod; later pods get the next ones.")
    ] = "10.88.0.1",
    logs: Annotated[Path, typer.Option(help="Directory for the output of the processes.")] = Path("twin-node"),
) -> int:
    """Run the pods bound to a node of a running `twin serve` as processes of this machine."""
    import asyncio

    import httpx

    from controller.clock import SystemClock
    from twin.apiserver import ApiError
    from twin.process_node.client import ApiClient
    from twin.process_node.kubelet import NodeKubelet, NodeSettings

    connection = server_connection(kubeconfig)
    address = _pod_address(first_address)
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--logs {logs}: {error.strerror}") from error

    async def run() -> None:
        async with httpx.AsyncClient(
            base_url=connection.url, headers=connection.headers, verify=connection.trust, trust_env=False, timeout=10
        ) as client:
            print(f"node {name} joins {connection.url}; logs are in {logs}/; press Ctrl-C to stop", flush=True)
            node = NodeKubelet(ApiClient(client), NodeSettings(name, address, logs), SystemClock(), _print_line)
            await node.run()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        print_errors(f"twin: node {name} has left; logs are in {logs}/")
        return OK
    except ApiError as error:
        raise UsageError(f"twin node: {error.message}") from error
    except httpx.TransportError as error:
        raise UsageError(no_response(connection.url, error)) from error
    return OK


def _pod_address(text: str) -> IPv4Address:
    """Return an address of the range for pods.

    Raises:
        UsageError: the text is not such an address.
    """
    try:
        address = IPv4Address(text)
    except AddressValueError:
        address = IPv4Address(0)
    if address not in IPv4Network("10.0.0.0/8"):
        raise UsageError(f"--first-address {text}: not a pod address; allowed: an address such as 10.88.0.1")
    return address


def _print_line(line: str) -> None:
    print(line, flush=True)
