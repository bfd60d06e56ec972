"""One reconcile: observe → plan → execute. Start reading at `reconciler.py`, then `planning/plan.py`.

Everything but `observe.py`, `executor.py` and `reconciler.py` is pure: snapshot → replica states → selection → steps
per pod → conditions and endpoints → actions.
"""
