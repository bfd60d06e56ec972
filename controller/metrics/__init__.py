"""Prometheus metrics of the operator.

Start reading at `instruments.py`, which defines them all; `server.py` serves them with the probes, `client.py` counts
requests to the API server.
"""
