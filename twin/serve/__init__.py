"""The world in wall-clock time, behind sockets: what `twin serve` runs.

`sockets.py` puts ASGI applications on loopback, with TLS (`certificates.py`) or without; `kubeconfig.py` tells clients
where.
"""
