"""Kubernetes manifests of a scenario.

`reader.py` (start reading here) reads them, `secrets.py` replaces secrets, `admission.py` validates them as the API
server would, `workloads.py` extracts the pods that they create.
"""
