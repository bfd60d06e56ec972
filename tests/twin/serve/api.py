"""An API server on a loopback socket in the test's own event loop; other packages' tests use it as well.

async with served_store() as api:
    api.client      # httpx, as the administrator
    api.kubeconfig  # for other clients
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from itertools import count
from typing import Any, ParamSpec

import httpx

from twin.apiserver import Store
from twin.apiserver.rest import ApiServer, AuditEvent, Containers, TokenAuthenticator, User
from twin.apiserver.rest.middleware import Interference, no_interference
from twin.scenario.manifests.admission import definition
from twin.serve.kubeconfig import kubeconfig
from twin.serve.network.sockets import Address, listening

ADAPTERS = "/apis/model.aibrix.ai/v1alpha1/namespaces/default/modeladapters"
PODS = "/api/v1/namespaces/default/pods"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


P = ParamSpec("P")


def on_sockets(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test with real sockets in its own event loop, with a timeout."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


@dataclass(slots=True)
class Api:
    """A served store and its client."""

    store: Store
    access: TokenAuthenticator
    app: ApiServer
    address: Address
    client: httpx.AsyncClient
    used: list[AuditEvent] = field(default_factory=list)
    """Every request that was answered."""
    clock: list[datetime] = field(default_factory=lambda: [NOW])
    """The server's time; a test may put another one in."""

    @property
    def kubeconfig(self) -> dict[str, Any]:
        return kubeconfig(self.address.url, self.access.admin_token)

    def client_of(self, user: User) -> httpx.AsyncClient:
        """Return a client with a token of that user."""
        headers = {"authorization": f"Bearer {self.access.issue(user)}"}
        return httpx.AsyncClient(base_url=self.address.url, headers=headers, trust_env=False)


@asynccontextmanager
async def served_store(
    containers: Containers | None = None, interfering: Callable[[Store], Interference] = lambda _: no_interference
) -> AsyncIterator[Api]:
    """Serve a store with the ModelAdapter CRD over HTTP."""
    numbers = count()
    used: list[AuditEvent] = []
    clock = [NOW]
    store = Store(lambda: clock[0], lambda: f"{next(numbers):05d}")
    store.register_crd(definition())
    access = TokenAuthenticator()
    app = ApiServer(
        store,
        access,
        lambda: clock[0],
        containers=containers,
        observer=used.append,
        interference=interfering(store),
    )
    headers = {"authorization": f"Bearer {access.admin_token}"}
    async with (
        listening(app) as address,
        httpx.AsyncClient(base_url=address.url, headers=headers, trust_env=False) as client,
    ):
        yield Api(store, access, app, address, client, used, clock)
        app.close()


def adapter(name: str, **spec: Any) -> dict[str, Any]:
    """Return a ModelAdapter as a user writes it."""
    wanted = {"matchLabels": {"model.aibrix.ai/name": "qwen"}}
    body = {"baseModel": "qwen", "podSelector": wanted, "artifactURL": f"huggingface://acme/{name}", **spec}
    return {
        "apiVersion": "model.aibrix.ai/v1alpha1",
        "kind": "ModelAdapter",
        "metadata": {"name": name, "namespace": "default"},
        "spec": body,
    }


def pod(name: str, **labels: str) -> dict[str, Any]:
    """Return a pod with one container."""
    containers = [{"name": "vllm", "image": "vllm/vllm-openai:v0.24.0"}]
    meta = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}}
