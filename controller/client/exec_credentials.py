"""Credentials from an exec plug-in (`users[].user.exec` of a kubeconfig, client.authentication.k8s.io).

The `kubernetes` package runs plug-ins as well, but without a timeout, and it logs a failure instead of raising it, so
that requests would be sent without credentials.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

_TIMEOUT = 60.0
"""Seconds; plug-ins may call a cloud provider."""


class PluginError(Exception):
    """The plug-in returned no credentials. The message contains none of its standard output."""


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """A token, or a certificate with its key (both PEM)."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    expires: datetime | None = None


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class _Response(msgspec.Struct, rename="camel"):
    api_version: str
    status: _Status


async def run_plugin(plugin: Mapping[str, Any], timeout: float = _TIMEOUT) -> ExecCredential:
    """Run the plug-in that `plugin`, an `exec` section of a kubeconfig, describes.

    Raises:
        PluginError: if it is not installed, failed, timed out or printed no valid ExecCredential.
    """
    command = str(plugin.get("command") or "")
    version = str(plugin.get("apiVersion") or "")
    if not command or not version:
        raise PluginError("exec needs a command and an apiVersion")
    output = await _output(command, plugin, version, timeout)
    try:
        response = msgspec.json.decode(output, type=_Response)
    except msgspec.DecodeError:
        raise PluginError(f"{command} did not print an ExecCredential") from None
    if response.api_version != version:
        raise PluginError(f"{command} returned apiVersion {response.api_version}, requested was {version}")
    status = response.status
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        raise PluginError(f"{command} returned neither a token nor a certificate with its key")
    return ExecCredential(
        token=status.token,
        certificate=status.client_certificate_data,
        key=status.client_key_data,
        expires=status.expiration_timestamp,
    )


async def _output(command: str, plugin: Mapping[str, Any], version: str, timeout: float) -> bytes:
    variables = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or ()}
    request = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {**os.environ, **variables, "KUBERNETES_EXEC_INFO": msgspec.json.encode(request).decode()}
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *map(str, plugin.get("args") or ()),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        hint = " ".join(str(plugin.get("installHint") or "").split())
        raise PluginError(f"{command} could not be started: {error.strerror}" + (f"; {hint}" if hint else "")) from None
    try:
        async with asyncio.timeout(timeout):
            output, errors = await process.communicate()
    except TimeoutError:
        raise PluginError(f"{command} did not finish within {timeout:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise PluginError(f"{command} exited with code {process.returncode}" + (f": {lines[-1]}" if lines else ""))
    return output
