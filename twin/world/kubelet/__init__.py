"""The kubelets of the simulated nodes: start reading at `pod_worker.py`, the life cycle of a pod.

`kubelet.py` follows the store, `container.py` is one container with its probes and restarts, `pod_spec.py` reads a
manifest, `pod_status.py` writes the status.
"""
