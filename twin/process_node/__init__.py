"""A node whose containers are processes of this machine: what `twin node` adds to a running `twin serve`.

Start reading at `kubelet.py`; `container.py` is one container, `client.py` the API client. Pods are bound by
`nodeName`; everything else about them is Kubernetes' own, and their statuses are built by the same code as simulated
ones (`twin.world.kubelet.pod_status`).
"""
