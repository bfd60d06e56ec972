"""Credentials from a program that a kubeconfig names (`users[].user.exec`, client.authentication.k8s.io).

The `kubernetes` package can run one too, but waits for it without end, and logs a failure instead of raising it: the
operator would then knock as a stranger. Here the program has a time-out, and what went wrong is said.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

_SECONDS = 60.0
"""A plug-in may ask a cloud; longer than this it hangs."""


class PluginError(Exception):
    """The program did not give credentials; says why, without any of its output that may hold them."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What the program gave: a token, or a certificate with its key (both PEM)."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    expires: datetime | None = None


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    status: _Status


async def credential(plugin: Mapping[str, Any], seconds: float = _SECONDS) -> Credential:
    """Runs the program that `plugin` describes as a kubeconfig does.

    Raises:
        PluginError: it is not there, failed, took too long, or answered with something else.
    """
    command = str(plugin.get("command") or "")
    version = str(plugin.get("apiVersion") or "")
    if not command or not version:
        raise PluginError("exec needs a command and an apiVersion")
    output = await _output(command, plugin, version, seconds)
    try:
        answer = msgspec.json.decode(output, type=_ExecCredential)
    except msgspec.DecodeError:
        raise PluginError(f"{command} did not print an ExecCredential") from None
    if answer.api_version != version:
        raise PluginError(f"{command} answered in {answer.api_version}, asked was {version}")
    status = answer.status
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        raise PluginError(f"{command} gave neither a token nor a certificate with its key")
    return Credential(
        token=status.token,
        certificate=status.client_certificate_data,
        key=status.client_key_data,
        expires=status.expiration_timestamp,
    )


async def _output(command: str, plugin: Mapping[str, Any], version: str, seconds: float) -> bytes:
    given = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or ()}
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {**os.environ, **given, "KUBERNETES_EXEC_INFO": msgspec.json.encode(asked).decode()}
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
        raise PluginError(f"{command} cannot be run: {error.strerror}" + (f"; {hint}" if hint else "")) from None
    try:
        async with asyncio.timeout(seconds):
            output, complaint = await process.communicate()
    except TimeoutError:
        raise PluginError(f"{command} gave no answer within {seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = complaint.decode(errors="replace").strip().splitlines()
        raise PluginError(f"{command} ended with exit code {process.returncode}" + (f": {said[-1]}" if said else ""))
    return output
