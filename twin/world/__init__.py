"""The simulated cluster around the operator: nodes, scheduler, kubelets, workload controllers and the network.

Start reading at `cluster.py`, which builds the parts and has the verbs that faults use; then
`kubelet/pod_worker.py`, the life cycle of a pod. The parts react to changes in the store and to SimPy events; they
communicate through the store only, as in a real cluster, and an idle hour costs nothing.
"""
