"""Replicas by demand: measured requests in flight → estimate by adapter → decision → `spec.replicas`.

`tracker.py` keeps the samples; `estimate.py`, `budget.py` and `scaling.py` are pure. The decision is made in a plan
(`reconcile/scaling.py`) and written to the object before anything follows from it.
"""
