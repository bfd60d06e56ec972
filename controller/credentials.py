"""The engine's API key for an adapter: from the object (`additionalConfig.api-key`) or from a Secret.

A Secret is read when it is needed and kept for a minute, so that a rotated key is soon used and an audit of many
pods does not read it many times. Keys are in memory only and in no message.
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
