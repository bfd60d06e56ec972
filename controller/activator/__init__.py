"""Holds requests for adapters that are loaded on demand; start reading at `activator.py`.

The EndpointSlice of such an adapter names the activator while no pod serves it. A request there makes the adapter
wanted (`wishes.py`), which a plan writes to the object (`reconcile/planning/activation.py`); it is passed on when a pod
is published (`activator.py`). `forwarding.py` is its HTTP side, `server.py` listens on a cluster.
"""
