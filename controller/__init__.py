"""The operator for `ModelAdapter` resources, as it is deployed.

Start reading at `operator.py`, then `reconcile/plan.py`. The package imports nothing of the twin. It reaches the
outside through two seams: `client/interface.py` (the Kubernetes API) and an `httpx` transport below
`engine/client.py` (the engines).
"""
