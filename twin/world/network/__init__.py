"""The simulated network; start reading at `transport.py`, which sends an HTTP request to the host at an address.

`engine_host.py` and `sidecar_host.py` listen at an address, `link.py` is the link to them,
`http_adapter.py` converts between httpx and the engine's messages.
"""
