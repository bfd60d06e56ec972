"""Creates the store of an artifact."""

from dataclasses import dataclass, field

import httpx

from controller.sidecar.artifacts.credentials import Credentials
from controller.sidecar.artifacts.egress_guard import EgressGuard
from controller.sidecar.artifacts.stores import Store
from controller.sidecar.artifacts.stores.gcs import GcsStore
from controller.sidecar.artifacts.stores.http import HttpStore
from controller.sidecar.artifacts.stores.huggingface import HuggingFaceStore
from controller.sidecar.artifacts.stores.s3 import S3Store, tos_keys
from controller.sidecar.artifacts.url import Artifact

HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Stores:
    """Creates stores; the endpoints are settings of the sidecar."""

    transport: httpx.AsyncBaseTransport
    guard: EgressGuard = field(default_factory=EgressGuard)
    hub: str = HUB
    """`HF_ENDPOINT`."""
    google: str = ""
    """`STORAGE_EMULATOR_HOST`; empty for the public service."""
    s3: str = ""
    """`AWS_ENDPOINT_URL`; empty for AWS."""

    async def open(self, artifact: Artifact, credentials: Credentials) -> Store:
        """Return the store of an artifact.

        Raises:
            SidecarError: if the credentials are not valid for it.
        """
        match artifact.store:
            case "http":
                return HttpStore(artifact, credentials.headers(), self.transport)
            case "huggingface":
                return await self._hub(artifact, credentials)
            case "gs":
                return GcsStore(artifact, credentials.google(), self.guard, self.google)
            case "tos":
                return S3Store(artifact, tos_keys(credentials.tos()), self.guard)
        return S3Store(artifact, credentials.aws(), self.guard, self.s3)

    async def _hub(self, artifact: Artifact, credentials: Credentials) -> Store:
        token = credentials.hub()
        if token.endpoint:
            await self.guard.check(token.endpoint)
            return HuggingFaceStore(artifact, token, self.transport, token.endpoint)
        return HuggingFaceStore(artifact, token, self.transport, self.hub)
