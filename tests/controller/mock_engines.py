"""A transport that is all engines, for tests of the operator in which engines only store names; not a test."""

import json

import httpx


class Engines:
    """Each engine stores names and roots, by its address."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, str]] = {}
        self.loads: list[tuple[str, str]] = []
        """(address, name) of each load request."""

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def holders(self, name: str) -> list[str]:
        """Return the addresses of the engines that have the adapter."""
        return sorted(host for host, held in self.held.items() if name in held)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        held = self.held.setdefault(request.url.host, {})
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": name, "root": root} for name, root in held.items()]})
        body = json.loads(request.content)
        if request.url.path == "/v1/load_lora_adapter":
            held[body["lora_name"]] = body["lora_path"]
            self.loads.append((request.url.host, body["lora_name"]))
        else:
            held.pop(body["lora_name"], None)
        return httpx.Response(200, text="Success")
