"""Who asks: from a bearer token to a user, and what the server hands out tokens for.

One token is the administrator's (it goes into the kubeconfig); others stand for service accounts, as the TokenRequest
API gives them. A user may act as another one, if the rules let him (`kubectl --as`).
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from twin.apiserver.meta.errors import ApiError

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True, slots=True)
class User:
    """A name and the groups that it belongs to."""

    name: str
    groups: tuple[str, ...] = (AUTHENTICATED,)
    uid: str = ""

    @property
    def is_master(self) -> bool:
        """Whether it may do everything, whatever the roles say."""
        return MASTERS in self.groups


ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def service_account(namespace: str, name: str, uid: str = "") -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid)


class TokenAuthenticator:
    """The tokens that are good.

    `open`: who brings no token at all is the administrator. For plain HTTP on loopback, over which `kubectl` sends
    no token.
    """

    def __init__(self, *, open: bool = False) -> None:
        self.open = open
        self.admin_token = secrets.token_urlsafe(24)
        self._users: dict[str, User] = {self.admin_token: ADMIN}

    def issue(self, user: User) -> str:
        """A new token for a user."""
        token = secrets.token_urlsafe(24)
        self._users[token] = user
        return token

    def user_for_token(self, token: str) -> User | None:
        """Whose token it is; None if no_observer's."""
        return self._users.get(token)

    def revoke(self, user: str) -> None:
        """No token of this user is good any more."""
        self._users = {token: found for token, found in self._users.items() if found.name != user}

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """Who sent a request, impersonation aside.

        Raises:
            ApiError: 401, the token is no_observer's, or there is none.
        """
        if self.open and "authorization" not in headers:
            return ADMIN
        scheme, _, token = headers.get("authorization", "").partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user


def impersonated_user(headers: Iterable[tuple[bytes, bytes]]) -> User | None:
    """The user that a request wants to be taken for (`kubectl --as`, `--as-group`); None if it does not say."""
    name, groups = "", []
    for key, value in headers:
        match key.lower():
            case b"impersonate-user":
                name = value.decode("latin-1")
            case b"impersonate-group":
                groups.append(value.decode("latin-1"))
    if not name:
        return None
    parts = name.split(":")
    if not groups and len(parts) == 4 and name.startswith("system:serviceaccount:"):
        return service_account(parts[2], parts[3])
    return User(name, tuple(dict.fromkeys([*groups, AUTHENTICATED])))
