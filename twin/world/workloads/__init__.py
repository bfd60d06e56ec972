"""The workload controllers: `deployments.py` manages ReplicaSets, `replicasets.py` pods.

`rollout.py` has the arithmetic.
"""
