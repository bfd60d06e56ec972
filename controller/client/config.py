"""Where the API server is and how to prove who we are: in a pod by its service account, outside by a kubeconfig.

The `kubernetes` package reads both. What it leaves open is done here: a token that rotates is read again in time, an
exec plug-in is run again before its credential expires (`kube_exec.py`), and whatever is wrong becomes one line.
"""

import base64
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, incluster_config
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from controller.client.exec_credentials import PluginError, credential
from controller.clock import Clock

_TOKEN_KEPT = 60.0
"""Seconds that a token from a file is used before the file is read again (as client-go)."""
_BEFORE_EXPIRY = 60.0
"""Seconds before its end that a plug-in's credential is asked for anew."""
_NAMESPACE_FILE = Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace")


class ConfigError(Exception):
    """There is no way to a cluster by what was given; one line says what is wrong."""


@dataclass(frozen=True, slots=True)
class RestConfig:
    """A server's address and what to show it."""

    configuration: Configuration
    valid_for: float | None = None
    """Seconds after which to log in again; None: as long as the server takes it."""

    @property
    def token(self) -> str:
        """The `Authorization` header; empty without a token."""
        return str(self.configuration.api_key.get("BearerToken", "")).strip()


class ClientConfig(Protocol):
    """One way to a cluster. `log_in` may be called again at any time and reads everything anew."""

    @property
    def namespace(self) -> str:
        """The namespace to act in where none was named."""
        ...

    async def load(self) -> RestConfig:
        """Raises `ConfigError`."""
        ...


class InCluster:
    """By the service account of the pod that this runs in."""

    @property
    def namespace(self) -> str:
        try:
            return _NAMESPACE_FILE.read_text().strip() or "default"
        except OSError:
            return "default"

    async def load(self) -> RestConfig:
        configuration = _configuration()
        try:
            incluster_config.load_incluster_config(configuration, try_refresh_token=False)
        except (ConfigException, OSError) as error:
            raise ConfigError(f"the service account of this pod cannot be used: {error}") from None
        return RestConfig(configuration, _TOKEN_KEPT)


class Kubeconfig:
    """By a kubeconfig: one file, or several joined as `KUBECONFIG` has them."""

    def __init__(self, paths: str, context: str, clock: Clock) -> None:
        self._paths = paths
        self._context = context
        self._clock = clock

    @property
    def namespace(self) -> str:
        try:
            found = _named(_merged(self._paths), "contexts", self._context)
        except ConfigError:
            return "default"
        return str(found["context"].safe_get("namespace") or "default")

    async def load(self) -> RestConfig:
        merged = _merged(self._paths)
        try:
            valid_for = await self._resolve_plugin(merged)
            loader = KubeConfigLoader(merged, active_context=self._context or None, config_base_path=None)
            configuration = _configuration()
            await loader.load_and_set(configuration)
        except PluginError as error:
            raise ConfigError(f"{self._paths}: no credentials: {error}") from None
        except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{self._paths}: not a usable kubeconfig: {_first_line(error)}") from None
        if not str(configuration.host).startswith(("http://", "https://")):
            raise ConfigError(f"{self._paths}: server {configuration.host!r} must start with https:// or http://")
        return RestConfig(configuration, valid_for)

    async def _resolve_plugin(self, merged: Any) -> float | None:
        """Puts what an exec plug-in gives in its place; returns for how many seconds the credentials are good."""
        context = _named(merged, "contexts", self._context)["context"]
        name = context.safe_get("user")
        entry = merged["users"].get_with_name(name, safe=True) if name and merged.safe_get("users") else None
        user = entry.value.get("user") if entry is not None else None
        if not isinstance(user, dict):
            return None
        if "exec" not in user:
            return _TOKEN_KEPT if "tokenFile" in user else None
        given = await credential(user.pop("exec"))
        if given.token:
            user["token"] = given.token
        if given.certificate:
            user["client-certificate-data"] = base64.b64encode(given.certificate.encode()).decode()
            user["client-key-data"] = base64.b64encode(given.key.encode()).decode()
        return _seconds_until(given.expires, self._clock.now())


def find(kubeconfig: str, context: str, clock: Clock) -> ClientConfig:
    """The way that was named; else `KUBECONFIG`, else the pod's service account, else the user's own kubeconfig.

    Raises:
        ConfigError: there is none.
    """
    named = kubeconfig or os.environ.get("KUBECONFIG", "")
    if named:
        return Kubeconfig(named, context, clock)
    if os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME):
        return InCluster()
    own = Path.home() / ".kube" / "config"
    if own.is_file():
        return Kubeconfig(str(own), context, clock)
    raise ConfigError("no cluster: give --kubeconfig FILE, set KUBECONFIG, or run in a pod with a service account")


def _configuration() -> Configuration:
    """Without the defaults that another part of the process may have set."""
    configuration = Configuration(connection_pool_maxsize=200)
    # Clusters' own CAs are often too simple for the strict mode of Python 3.13; client-go takes them.
    configuration.disable_strict_ssl_verification = True
    return configuration


def _merged(paths: str) -> Any:
    files = [Path(part).expanduser() for part in paths.split(os.pathsep) if part]
    if not any(file.is_file() for file in files):
        raise ConfigError(f"{paths}: no such kubeconfig")
    for file in files:
        _check(file)
    merged = KubeConfigMerger(paths).config
    if not merged.safe_get("clusters") or not merged.safe_get("contexts"):
        raise ConfigError(f"{paths}: not a usable kubeconfig: it names no cluster and context")
    return merged


def _check(file: Path) -> None:
    """Whether a file can be read at all; the merger would answer with a traceback."""
    if not file.is_file():
        return
    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML: {_first_line(error)}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: not a kubeconfig: its top level is no mapping")
    for section in ("clusters", "contexts", "users"):
        entries = content.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(item, dict) and "name" in item for item in entries):
            raise ConfigError(f"{file}: not a usable kubeconfig: {section} is no list of named entries")


def _named(merged: Any, section: str, context: str) -> Any:
    name = context or merged.safe_get("current-context")
    if not name:
        raise ConfigError("the kubeconfig has no current-context; name one with --context")
    try:
        return merged[section].get_with_name(name)
    except ConfigException:
        known = ", ".join(sorted(str(item["name"]) for item in merged[section].value))
        raise ConfigError(f"the kubeconfig has no context {name!r}; it has {known}") from None


def _seconds_until(expires: datetime | None, now: datetime) -> float | None:
    if expires is None:
        return None
    return max((expires - now).total_seconds() - _BEFORE_EXPIRY, 1.0)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
