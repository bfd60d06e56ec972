"""What an adapter's Secrets hold: the engine's API key, and credentials for the artifact's store.

An engine's key may also be in the object (`additionalConfig.api-key`). Its Secret is kept for a minute, so that a
rotated key is soon used and an audit of many pods does not read it many times; credentials for a store are needed
once a load, and read each time. Both are in memory only and in no message.
"""

from controller.clock import Clock
from controller.cluster import Cluster, ClusterError
from controller.engine import EngineError
from controller.resources import SECRETS, ModelAdapter

_KEPT_FOR = 60.0
"""Seconds."""


class Credentials:
    """Finds keys, and remembers them shortly."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._kept: dict[tuple[str, str, str], tuple[float, str]] = {}

    async def engine_key(self, adapter: ModelAdapter) -> str:
        """The key, or an empty text if the adapter names none.

        Raises:
            EngineError: the Secret or its key is not there, so no request can be made.
        """
        reference = adapter.spec.api_key_secret_ref
        if reference is None:
            return adapter.spec.additional_config.get("api-key", "")
        place = (adapter.metadata.namespace, reference.name, reference.key)
        now = self._clock.now().timestamp()
        kept = self._kept.get(place)
        if kept is not None and now < kept[0] + _KEPT_FOR:
            return kept[1]
        try:
            secret = await self._cluster.get(SECRETS, adapter.metadata.namespace, reference.name)
        except ClusterError as error:
            message = f"Secret {reference.name!r} named by apiKeySecretRef cannot be read ({type(error).__name__})"
            raise EngineError("SecretUnavailable", message, retriable=True) from None
        value = secret.data.get(reference.key)
        if value is None:
            message = f"Secret {reference.name!r} has no key {reference.key!r}, which apiKeySecretRef names"
            raise EngineError("SecretUnavailable", message, retriable=True)
        key = value.decode(errors="replace").strip()
        self._kept[place] = (now, key)
        return key

    async def for_store(self, adapter: ModelAdapter) -> dict[str, str]:
        """The keys of the Secret that `credentialsSecretRef` names, or nothing if it names none.

        Raises:
            EngineError: the Secret is not there, or holds what is no text.
        """
        reference = adapter.spec.credentials_secret_ref
        if reference is None or not reference.name:
            return {}
        try:
            secret = await self._cluster.get(SECRETS, adapter.metadata.namespace, reference.name)
            return {name: value.decode() for name, value in secret.data.items()}
        except ClusterError as error:
            why = f"cannot be read ({type(error).__name__})"
        except UnicodeDecodeError:
            why = "holds bytes that are no text"
        message = f"Secret {reference.name!r} named by credentialsSecretRef {why}"
        raise EngineError("SecretUnavailable", message, retriable=True) from None
