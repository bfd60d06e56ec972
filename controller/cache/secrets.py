"""Values of the Secrets that adapters name: the engine's API key, and credentials for the artifact's store.

An engine's key may also be in the object itself (`additionalConfig.api-key`). Its Secret is read with `get` when it is
needed and cached for a while, so that many adapters and audits do not read it many times. A missing Secret is read
again sooner, and one whose key an engine has refused is read again at once, so that a rotated key is soon in use.
Credentials for a store are read for each load. Values are kept in memory only, as long as an adapter names their
Secret, and appear in no message.
"""

from collections import Counter
from dataclasses import dataclass, field

from controller.api.spec import SpecProblem
from controller.api.types import SECRETS, ModelAdapter
from controller.client.interface import Client, ClientError, Forbidden, NotFound
from controller.clock import Clock
from controller.engine.errors import EngineError, Scope

TTL = 60.0
"""Seconds for which a Secret is not read again."""
MISSING_TTL = 10.0
"""Seconds for which a missing Secret (or one that lacks the key) is not read again."""
_CURRENT = 5.0
"""Seconds for which a key counts as current after it was read, even if an engine refuses it."""


SecretKey = tuple[str, str]
"""Namespace and name of a Secret."""
_EngineKey = tuple[str, str, str]
"""Namespace, name and data key."""


@dataclass(frozen=True, slots=True)
class _Entry:
    read_at: float
    key: str = field(default="", repr=False)
    problem: SpecProblem | None = None

    def is_fresh(self, now: float) -> bool:
        return now < self.read_at + (TTL if self.problem is None else MISSING_TTL)


class SecretCache:
    """Engine keys, cached; store credentials, not cached; versions of all Secrets that were read or watched."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._entries: dict[_EngineKey, _Entry] = {}
        self._versions: dict[SecretKey, str] = {}
        """Last observed version of each Secret; empty if it did not exist."""
        self._named: dict[str, tuple[SecretKey, ...]] = {}
        """Adapter (`namespace/name`) to the Secrets that it names, if any."""
        self._users: Counter[SecretKey] = Counter()

    def use(self, adapter: str, secrets: tuple[SecretKey, ...]) -> None:
        """Record which Secrets an adapter names; what is kept of one that no adapter names any more is dropped."""
        before = self._named.pop(adapter, ())
        if secrets:
            self._named[adapter] = secrets
        self._users.update(secrets)
        self._users.subtract(before)
        for secret in before:
            if not self._users[secret]:
                del self._users[secret]
                self._versions.pop(secret, None)
                self._drop_key(secret)

    async def refresh(self, adapter: ModelAdapter) -> None:
        """Read the adapter's engine key again if it is not fresh.

        Raises:
            ClientError: the key is not cached, and the API server does not answer.
        """
        place = _engine_key(adapter)
        if place is None:
            return
        now = self._clock.now().timestamp()
        cached = self._entries.get(place)
        if cached is not None and cached.is_fresh(now):
            return
        try:
            self._entries[place] = await self._read(place, now)
        except ClientError:
            if cached is None or cached.problem is not None:
                raise

    def version(self, adapter: ModelAdapter) -> str:
        """Return the last observed versions of the adapter's Secrets; empty if it names none."""
        return " ".join(self._versions.get(secret, "") for secret in secrets_of(adapter))

    def update_version(self, secret: SecretKey, version: str) -> bool:
        """Record an observed version; return whether it is new. A new version is read when it is needed next."""
        if self._versions.get(secret, "") == version:
            return False
        self._versions[secret] = version
        self._drop_key(secret)
        return True

    def _drop_key(self, secret: SecretKey) -> None:
        for entry in [entry for entry in self._entries if entry[:2] == secret]:
            del self._entries[entry]

    def error(self, adapter: ModelAdapter) -> SpecProblem | None:
        """Return what is wrong with the adapter's engine key, if anything."""
        cached = self._cached(adapter)
        return cached.problem if cached is not None else None

    def invalidate(self, adapter: ModelAdapter) -> None:
        """Read the key again when it is needed next, since an engine has refused it; no effect on a current key."""
        place, cached = _engine_key(adapter), self._cached(adapter)
        if place is not None and cached is not None and self._clock.now().timestamp() > cached.read_at + _CURRENT:
            del self._entries[place]

    async def engine_key(self, adapter: ModelAdapter) -> str:
        """Return the engine's API key, or an empty text if the adapter names none.

        Raises:
            EngineError: the Secret or its key does not exist, so no request can be sent.
        """
        if _engine_key(adapter) is None:
            return adapter.spec.additional_config.get("api-key", "")
        try:
            await self.refresh(adapter)
        except ClientError as error:
            message = f"the Secret in apiKeySecretRef cannot be read ({type(error).__name__})"
            raise EngineError("SecretUnavailable", message, retriable=True) from None
        cached = self._cached(adapter)
        assert cached is not None
        if cached.problem is not None:
            raise EngineError(cached.problem.reason, cached.problem.message, retriable=True)
        return cached.key

    async def store_credentials(self, adapter: ModelAdapter) -> dict[str, str]:
        """Return the data of the Secret in `credentialsSecretRef`, or an empty mapping if the adapter names no Secret.

        Raises:
            EngineError: the Secret does not exist, or its data is not text.
        """
        secret_key = _store_secret(adapter)
        if secret_key is None:
            return {}
        name = f"Secret {secret_key[0]}/{secret_key[1]}, named in credentialsSecretRef,"
        try:
            secret = await self._client.get(SECRETS, *secret_key)
        except NotFound:
            self._versions[secret_key] = ""
            raise _final("SecretNotFound", f"{name} does not exist: create it") from None
        except Forbidden:
            hint = f"allow its service account to get secrets in {secret_key[0]}"
            raise _final("SecretForbidden", f"{name} may not be read by the operator: {hint}") from None
        except ClientError as error:
            message = f"{name} cannot be read ({type(error).__name__})"
            raise EngineError("SecretUnavailable", message, retriable=True) from None
        self._versions[secret_key] = secret.metadata.resource_version
        try:
            return {name: value.decode() for name, value in secret.data.items()}
        except UnicodeDecodeError:
            raise _final("SecretInvalid", f"{name} contains bytes that are not text") from None

    def _cached(self, adapter: ModelAdapter) -> _Entry | None:
        place = _engine_key(adapter)
        return None if place is None else self._entries.get(place)

    async def _read(self, place: _EngineKey, now: float) -> _Entry:
        namespace, name, key = place
        secret_name = f"Secret {namespace}/{name}"
        try:
            secret = await self._client.get(SECRETS, namespace, name)
        except NotFound:
            self._versions[namespace, name] = ""
            message = f"{secret_name}, named in apiKeySecretRef, does not exist: create it with the key {key!r}"
            return _Entry(now, problem=SpecProblem("SecretNotFound", message, recheck=MISSING_TTL))
        except Forbidden:
            hint = f"allow its service account to get secrets in {namespace}"
            message = f"{secret_name} may not be read by the operator: {hint}"
            return _Entry(now, problem=SpecProblem("SecretForbidden", message, recheck=MISSING_TTL))
        value = secret.data.get(key)
        self._versions[namespace, name] = secret.metadata.resource_version
        if value is None:
            message = f"{secret_name} has no key {key!r}, which apiKeySecretRef names"
            return _Entry(now, problem=SpecProblem("SecretKeyMissing", message, recheck=MISSING_TTL))
        return _Entry(now, value.decode(errors="replace").strip())


def secrets_of(adapter: ModelAdapter) -> tuple[SecretKey, ...]:
    """Return the Secrets that the adapter names, without duplicates."""
    engine, store = _engine_key(adapter), _store_secret(adapter)
    return tuple(dict.fromkeys(secret for secret in (engine and engine[:2], store) if secret is not None))


def _final(reason: str, message: str) -> EngineError:
    """Return an error that only another Secret resolves, on every pod alike."""
    return EngineError(reason, message, retriable=False, scope=Scope.ADAPTER)


def _store_secret(adapter: ModelAdapter) -> SecretKey | None:
    reference = adapter.spec.credentials_secret_ref
    return None if reference is None or not reference.name else (adapter.metadata.namespace, reference.name)


def _engine_key(adapter: ModelAdapter) -> _EngineKey | None:
    reference = adapter.spec.api_key_secret_ref
    return None if reference is None else (adapter.metadata.namespace, reference.name, reference.key)
