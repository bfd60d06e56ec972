"""The operator for `ModelAdapter` resources, as it is deployed: start reading at `operator.py`, then `plan.py`.

It knows nothing of the twin. What it asks of the outside goes through two seams: `cluster.py` (the Kubernetes
API) and an `httpx` transport (the engines, `engine.py`).
"""
