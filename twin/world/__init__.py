"""What stands around the operator and its engines: nodes, scheduler, kubelets, workload controllers, the network.

Start reading at `world.py`, which puts the parts together and has the verbs that faults use; then
`kubelet.py`, where a pod's life is. Everything is driven by changes in the store and by SimPy events: the parts
talk to each other through the store alone, as they do in a cluster, and an idle hour costs nothing.
"""
