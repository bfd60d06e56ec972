"""Replicas by demand: measured requests → estimate by adapter → decision → `spec.replicas`. Adapters without requests.

`tracker.py` keeps the samples, `usage.py` those of adapters on demand; the rest is pure. Decisions are made in a plan
(`reconcile/planning`) and written to the object before anything follows from them.
"""
