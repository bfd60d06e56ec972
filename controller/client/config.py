"""Configuration of the client: a pod's service account or a kubeconfig.

The `kubernetes` package reads both. This module adds that rotated tokens are read again, that an exec plug-in runs
again before its credential expires (`exec_credentials.py`), and that errors are one line.
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

from controller.client.exec_credentials import PluginError, run_plugin
from controller.clock import Clock

_TOKEN_LIFETIME = 60.0
"""Seconds after which a token file is read again, as in client-go."""
_EXPIRY_MARGIN = 60.0
"""Seconds before its expiry that a plug-in's credential is replaced."""
_NAMESPACE_FILE = Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace")


class ConfigError(Exception):
    """The client cannot be configured. The message is one line."""


@dataclass(frozen=True, slots=True)
class RestConfig:
    """Address of the server and credentials.

    Attributes:
        configuration: address, TLS and proxy settings, credentials.
        valid_for: seconds after which `load` must be called again; None if the credentials do not expire.
    """

    configuration: Configuration
    valid_for: float | None = None

    @property
    def token(self) -> str:
        """Value of the `Authorization` header; empty without a token."""
        return str(self.configuration.api_key.get("BearerToken", "")).strip()


class ClientConfig(Protocol):
    """Source of the configuration (clientcmd's `ClientConfig`). `load` may be called at any time to reload it."""

    @property
    def namespace(self) -> str:
        """Default namespace."""
        ...

    async def load(self) -> RestConfig:
        """Return the current configuration. Raises `ConfigError`."""
        ...


class InCluster:
    """Configuration from the service account of the pod that this process runs in."""

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
            raise ConfigError(f"the service account of this pod is not usable: {error}") from None
        return RestConfig(configuration, _TOKEN_LIFETIME)


class Kubeconfig:
    """Configuration from one kubeconfig, or from several in the format of `KUBECONFIG`."""

    def __init__(self, paths: str, context: str, clock: Clock) -> None:
        self._paths = paths
        self._context = context
        self._clock = clock

    @property
    def namespace(self) -> str:
        try:
            context = _named(_merged(self._paths), "contexts", self._context)
        except ConfigError:
            return "default"
        return str(context["context"].safe_get("namespace") or "default")

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
        """Replace an exec section by the credentials of the plug-in; return how long they are valid, in seconds."""
        context = _named(merged, "contexts", self._context)["context"]
        name = context.safe_get("user")
        entry = merged["users"].get_with_name(name, safe=True) if name and merged.safe_get("users") else None
        user = entry.value.get("user") if entry is not None else None
        if not isinstance(user, dict):
            return None
        if "exec" not in user:
            return _TOKEN_LIFETIME if "tokenFile" in user else None
        credential = await run_plugin(user.pop("exec"))
        if credential.token:
            user["token"] = credential.token
        if credential.certificate:
            user["client-certificate-data"] = base64.b64encode(credential.certificate.encode()).decode()
            user["client-key-data"] = base64.b64encode(credential.key.encode()).decode()
        return _seconds_until(credential.expires, self._clock.now())


def find_config(kubeconfig: str, context: str, clock: Clock) -> ClientConfig:
    """Return the named kubeconfig; else `KUBECONFIG`, the pod's service account or the user's kubeconfig.

    Raises:
        ConfigError: if none of these exists.
    """
    paths = kubeconfig or os.environ.get("KUBECONFIG", "")
    if paths:
        return Kubeconfig(paths, context, clock)
    if os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME):
        return InCluster()
    default = Path.home() / ".kube" / "config"
    if default.is_file():
        return Kubeconfig(str(default), context, clock)
    raise ConfigError("no cluster configured: set --kubeconfig or KUBECONFIG, or run in a pod with a service account")


def _configuration() -> Configuration:
    """Return a configuration that ignores process-wide defaults of the `kubernetes` package."""
    configuration = Configuration(connection_pool_maxsize=200)
    # CAs of clusters often fail the strict checks of Python 3.13; client-go accepts them.
    configuration.disable_strict_ssl_verification = True
    return configuration


def _merged(paths: str) -> Any:
    files = [Path(part).expanduser() for part in paths.split(os.pathsep) if part]
    if not any(file.is_file() for file in files):
        raise ConfigError(f"{paths}: kubeconfig not found")
    for file in files:
        _check(file)
    merged = KubeConfigMerger(paths).config
    if not merged.safe_get("clusters") or not merged.safe_get("contexts"):
        raise ConfigError(f"{paths}: not a usable kubeconfig: it has no clusters or no contexts")
    return merged


def _check(file: Path) -> None:
    """Refuse files on which the merger of the `kubernetes` package fails with a traceback."""
    if not file.is_file():
        return
    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML: {_first_line(error)}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: not a kubeconfig: its top level must be a mapping")
    for section in ("clusters", "contexts", "users"):
        entries = content.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(item, dict) and "name" in item for item in entries):
            raise ConfigError(f"{file}: not a usable kubeconfig: {section} must be a list of named entries")


def _named(merged: Any, section: str, context: str) -> Any:
    name = context or merged.safe_get("current-context")
    if not name:
        raise ConfigError("the kubeconfig has no current-context; set --context")
    try:
        return merged[section].get_with_name(name)
    except ConfigException:
        names = ", ".join(sorted(str(item["name"]) for item in merged[section].value))
        raise ConfigError(f"the kubeconfig has no context {name!r}; it has {names}") from None


def _seconds_until(expires: datetime | None, now: datetime) -> float | None:
    if expires is None:
        return None
    return max((expires - now).total_seconds() - _EXPIRY_MARGIN, 1.0)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
