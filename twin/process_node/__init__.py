"""A node whose containers are processes of this machine: what `twin node` runs beside `twin serve`.

Start reading at `agent.py`, the kubelet of that node; `container.py` is one container, `api.py` what is asked of the
API. Pods get here by `nodeName`; everything else about them is Kubernetes' own, and their statuses are written by the
same code as simulated ones (`twin.world.podstatus`).
"""
