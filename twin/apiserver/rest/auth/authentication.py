"""Authentication: from a bearer token to a user.

One token belongs to the administrator (it is in the kubeconfig); others belong to service accounts and are issued by
the TokenRequest API. A user may impersonate another one if the RBAC rules allow it (`kubectl --as`).
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from twin.apiserver.meta.errors import ApiError

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True, slots=True)
class User:
    """A user name with its groups."""

    name: str
    groups: tuple[str, ...] = (AUTHENTICATED,)
    uid: str = ""

    @property
    def is_master(self) -> bool:
        """Return whether the user may do everything, regardless of roles."""
        return MASTERS in self.groups


ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def service_account(namespace: str, name: str, uid: str = "") -> User:
    """Return the user of a service account."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid)


class TokenAuthenticator:
    """The valid tokens and their users."""

    def __init__(self, *, open: bool = False) -> None:
        """Create an authenticator with a token for the administrator.

        Args:
            open: treat requests without a token as the administrator's. For plain HTTP on loopback, over which
                `kubectl` sends no token.
        """
        self.open = open
        self.admin_token = secrets.token_urlsafe(24)
        self._users: dict[str, User] = {self.admin_token: ADMIN}

    def issue(self, user: User) -> str:
        """Return a new token for a user."""
        token = secrets.token_urlsafe(24)
        self._users[token] = user
        return token

    def user_for_token(self, token: str) -> User | None:
        """Return the user of a token, or None if the token is not valid."""
        return self._users.get(token)

    def revoke(self, user: str) -> None:
        """Invalidate all tokens of a user."""
        self._users = {token: owner for token, owner in self._users.items() if owner.name != user}

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """Return the user of a request, before impersonation.

        Raises:
            ApiError: 401 if the token is missing or not valid.
        """
        if self.open and "authorization" not in headers:
            return ADMIN
        scheme, _, token = headers.get("authorization", "").partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user


def impersonated_user(headers: Headers) -> User | None:
    """Return the user that a request impersonates (`kubectl --as`, `--as-group`), or None."""
    name = headers.get("impersonate-user", "")
    groups = headers.getlist("impersonate-group")
    if not name:
        return None
    parts = name.split(":")
    if not groups and len(parts) == 4 and name.startswith("system:serviceaccount:"):
        return service_account(parts[2], parts[3])
    return User(name, tuple(dict.fromkeys([*groups, AUTHENTICATED])))
