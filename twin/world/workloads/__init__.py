"""The workload controllers: `deployments.py` manages ReplicaSets; the others manage pods.

`replicasets.py`, `statefulsets.py`, `daemonsets.py` and `jobs.py` are one controller each. The last three share
`pod_controller.py`. The arithmetic of rollouts is in `rollout.py` and `stateful_plan.py`.
"""
