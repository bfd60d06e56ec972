"""Connections of client libraries to the addresses that the egress guard has checked.

A library that resolves a name again after the check can get another answer (DNS rebinding), and it follows redirects
to other hosts. Here it asks the guard itself: each connection is opened to an address of the answer that was checked.
TLS still verifies the name. `urllib3` is below boto3 and Google's client.
"""

from typing import Any

from controller.sidecar.artifacts.egress_guard import EgressGuard


def pin_pools(manager: Any, guard: EgressGuard) -> None:
    """Let a `urllib3.PoolManager` connect only to addresses that `guard` permits."""
    manager.pool_classes_by_scheme = {
        scheme: type(f"Pinned{pool.__name__}", (pool,), {"ConnectionCls": _pinned(pool.ConnectionCls, guard)})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }


def pin_session(session: Any, guard: EgressGuard) -> None:
    """Do the same for a `requests.Session`."""
    for adapter in session.adapters.values():
        pin_pools(adapter.poolmanager, guard)


def _pinned(base: Any, guard: EgressGuard) -> type:
    """Return a subclass of a `urllib3` connection class; a refused address raises `SidecarError`."""
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

    class PinnedConnection(base):  # type: ignore[misc]
        _dns_host: str

        def _new_conn(self) -> Any:
            host: str = self._dns_host
            try:
                addresses = guard.resolve_blocking(host, self.port)
            except OSError as error:
                raise NameResolutionError(host, self, error) from error  # type: ignore[arg-type]
            failure: Exception = NewConnectionError(self, f"{host} has no address")
            try:
                for address in addresses:
                    self._dns_host = address
                    try:
                        return super()._new_conn()
                    except (NewConnectionError, ConnectTimeoutError) as error:
                        failure = error
            finally:
                self._dns_host = host
            raise failure

    return PinnedConnection
