"""What an adapter's Secrets hold: the engine's API key, and credentials for the artifact's store.

An engine's key may also be in the object (`additionalConfig.api-key`). Its Secret is read with `get` alone, when it is
needed, and kept for a while, so that many adapters and audits do not read it many times. One that is missing is looked
for more often, and one whose key an engine has just refused is read again, so that a rotated key is soon in use.
Credentials for a store are needed once a load, and read each time. Both are in memory only and in no message.
"""

from dataclasses import dataclass, field

from controller.api.spec import SpecProblem
from controller.api.types import SECRETS, ModelAdapter
from controller.client.interface import Client, ClientError, Forbidden, NotFound
from controller.clock import Clock
from controller.engine.errors import EngineError, Scope

KEPT_FOR = 60.0
"""Seconds that a Secret is not read again."""
MISSED_FOR = 10.0
"""Seconds that one which is not there (or lacks the key) is not looked for again."""
_DOUBTED_AFTER = 5.0
"""Seconds: a key that was read less long ago is the present one, whatever an engine says."""


Place = tuple[str, str]
"""Namespace and name of a Secret."""


@dataclass(frozen=True, slots=True)
class _Kept:
    at: float
    key: str = field(default="", repr=False)
    problem: SpecProblem | None = None

    def fresh(self, now: float) -> bool:
        return now < self.at + (KEPT_FOR if self.problem is None else MISSED_FOR)


class SecretCache:
    """Finds keys, and remembers them shortly."""

    def __init__(self, cluster: Client, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._kept: dict[tuple[str, str, str], _Kept] = {}
        self._versions: dict[Place, str] = {}
        """Of each Secret when it was heard of last; empty if it was not there."""

    async def refresh(self, adapter: ModelAdapter) -> None:
        """Makes sure that what is known of the adapter's Secret is fresh.

        Raises:
            ClientError: nothing is known of it, and the API server does not say.
        """
        place = _place(adapter)
        if place is None:
            return
        now = self._clock.now().timestamp()
        known = self._kept.get(place)
        if known is not None and known.fresh(now):
            return
        try:
            self._kept[place] = await self._read(place, now)
        except ClientError:
            if known is None or known.problem is not None:
                raise

    def version(self, adapter: ModelAdapter) -> str:
        """Of the adapter's Secrets, as they were heard of last; empty if there are none."""
        return " ".join(self._versions.get(place, "") for place in places_of(adapter))

    def changed(self, place: Place, version: str) -> bool:
        """Takes what was heard of a Secret; returns whether it is news. It is read anew when it is needed next."""
        if self._versions.get(place, "") == version:
            return False
        self._versions[place] = version
        for kept in [kept for kept in self._kept if kept[:2] == place]:
            del self._kept[kept]
        return True

    def problem(self, adapter: ModelAdapter) -> SpecProblem | None:
        """What is wrong with the Secret, if anything is known to be."""
        known = self._known(adapter)
        return known.problem if known is not None else None

    def invalidate(self, adapter: ModelAdapter) -> None:
        """An engine has refused the key: unless it was read just now, it is read again when it is needed next."""
        place, known = _place(adapter), self._known(adapter)
        if place is not None and known is not None and self._clock.now().timestamp() > known.at + _DOUBTED_AFTER:
            del self._kept[place]

    async def engine_key(self, adapter: ModelAdapter) -> str:
        """The key, or an empty text if the adapter names none.

        Raises:
            EngineError: the Secret or its key is not there, so no request can be made.
        """
        if _place(adapter) is None:
            return adapter.spec.additional_config.get("api-key", "")
        try:
            await self.refresh(adapter)
        except ClientError as error:
            message = f"the Secret that apiKeySecretRef names cannot be read ({type(error).__name__})"
            raise EngineError("SecretUnavailable", message, retriable=True) from None
        known = self._known(adapter)
        assert known is not None
        if known.problem is not None:
            raise EngineError(known.problem.reason, known.problem.message, retriable=True)
        return known.key

    def _known(self, adapter: ModelAdapter) -> _Kept | None:
        place = _place(adapter)
        return None if place is None else self._kept.get(place)

    async def _read(self, place: tuple[str, str, str], now: float) -> _Kept:
        namespace, name, key = place
        secret_name = f"Secret {namespace}/{name}"
        try:
            secret = await self._cluster.get(SECRETS, namespace, name)
        except NotFound:
            self._versions[namespace, name] = ""
            said = f"{secret_name}, which apiKeySecretRef names, does not exist: create it with the key {key!r}"
            return _Kept(now, problem=SpecProblem("SecretNotFound", said, recheck=MISSED_FOR))
        except Forbidden:
            said = f"{secret_name} may not be read by the operator: let its account get secrets in {namespace}"
            return _Kept(now, problem=SpecProblem("SecretForbidden", said, recheck=MISSED_FOR))
        value = secret.data.get(key)
        self._versions[namespace, name] = secret.metadata.resource_version
        if value is None:
            there = ", ".join(sorted(secret.data)) or "none"
            said = f"{secret_name} has no key {key!r}, which apiKeySecretRef names; its keys: {there}"
            return _Kept(now, problem=SpecProblem("SecretKeyMissing", said, recheck=MISSED_FOR))
        return _Kept(now, value.decode(errors="replace").strip())

    async def for_store(self, adapter: ModelAdapter) -> dict[str, str]:
        """The keys of the Secret that `credentialsSecretRef` names, or nothing if it names none.

        Raises:
            EngineError: the Secret is not there, or holds what is no text.
        """
        place = _store_place(adapter)
        if place is None:
            return {}
        said = f"Secret {place[0]}/{place[1]}, which credentialsSecretRef names,"
        try:
            secret = await self._cluster.get(SECRETS, *place)
        except NotFound:
            self._versions[place] = ""
            raise _wrong_secret("SecretNotFound", f"{said} does not exist: create it") from None
        except Forbidden:
            lets = f"let its account get secrets in {place[0]}"
            raise _wrong_secret("SecretForbidden", f"{said} may not be read by the operator: {lets}") from None
        except ClientError as error:
            message = f"{said} cannot be read ({type(error).__name__})"
            raise EngineError("SecretUnavailable", message, retriable=True) from None
        self._versions[place] = secret.metadata.resource_version
        try:
            return {name: value.decode() for name, value in secret.data.items()}
        except UnicodeDecodeError:
            raise _wrong_secret("SecretInvalid", f"{said} holds bytes that are no text") from None


def places_of(adapter: ModelAdapter) -> tuple[Place, ...]:
    """The Secrets that the adapter names, each once."""
    engine, store = _place(adapter), _store_place(adapter)
    return tuple(dict.fromkeys(place for place in (engine and engine[:2], store) if place is not None))


def _wrong_secret(reason: str, message: str) -> EngineError:
    """Nothing helps but another Secret, whichever pod is asked."""
    return EngineError(reason, message, retriable=False, scope=Scope.ADAPTER)


def _store_place(adapter: ModelAdapter) -> Place | None:
    reference = adapter.spec.credentials_secret_ref
    return None if reference is None or not reference.name else (adapter.metadata.namespace, reference.name)


def _place(adapter: ModelAdapter) -> tuple[str, str, str] | None:
    reference = adapter.spec.api_key_secret_ref
    return None if reference is None else (adapter.metadata.namespace, reference.name, reference.key)
