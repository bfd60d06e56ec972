"""Client of the Kubernetes API (seam 1).

Start reading at `interface.py`, the protocol and its errors. `rest.py` implements it over HTTP (`transport.py`,
`codec.py`, `config.py`); `delegating.py` and `namespaced.py` wrap another client.
"""
