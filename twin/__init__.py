"""The simulated world around the operator: start reading at `simulation.py`.

`loop.py` is time, `apiserver/` the Kubernetes API, `world/` nodes, kubelets and the network. Whatever happens
goes to the record (`record.py`); `oracles.py`, `measures.py` and `report/` read that and nothing else.
"""
