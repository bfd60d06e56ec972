"""The simulated cluster around the operator. Start reading at `sim/simulation.py`.

`kernel/` is time, `apiserver/` the Kubernetes API, `world/` nodes, kubelets and the network. Every event goes to
`trace/`; `evaluate/` and `report/` read that and nothing else.
"""
