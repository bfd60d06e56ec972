"""Reads facts about an artifact from its store: the configuration alone is fetched, into memory."""

import asyncio

from controller.sidecar.artifacts.facts import CONFIG, MAX_CONFIG_BYTES, ArtifactFacts, read_facts
from controller.sidecar.artifacts.stores import UNKNOWN, FileList, RemoteFile, Store
from controller.sidecar.errors import Code, SidecarError

_READ_SECONDS = 10.0


async def read_remote_facts(store: Store, listing: FileList) -> ArtifactFacts:
    """Return the facts about files in a store; nothing about an archive, which has to be fetched first.

    Raises:
        SidecarError: the configuration cannot be read.
    """
    config = next((file for file in listing.files if file.path == CONFIG), None)
    if config is None or listing.is_archive or config.size > MAX_CONFIG_BYTES:
        return ArtifactFacts()
    try:
        async with asyncio.timeout(_READ_SECONDS):
            body = await _read(store, config)
    except TimeoutError:
        raise SidecarError(Code.STORE_TIMEOUT, f"{CONFIG} is received too slowly") from None
    return read_facts(body, {file.path: file.size for file in listing.files})


async def _read(store: Store, file: RemoteFile) -> bytes:
    """Return the content of a small file; a read that returns early is continued."""
    body = bytearray()

    def add(data: bytes) -> None:
        if len(body) + len(data) > MAX_CONFIG_BYTES:
            raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"{CONFIG} is larger than {MAX_CONFIG_BYTES} bytes")
        body.extend(data)

    while True:
        before = len(body)
        await store.read(file, before, file.size, add)
        if file.size == UNKNOWN or len(body) >= file.size:
            return bytes(body)
        if len(body) == before:
            raise SidecarError(Code.STORE_UNAVAILABLE, f"{CONFIG} ends after {before} bytes")
