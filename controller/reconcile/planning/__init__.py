"""Plan for one adapter, made from its snapshot and the time. Pure; start reading at `plan.py`.

`selection.py` chooses pods, `steps.py` has the next step on each, `endpoints.py` what is published; `moves.py`,
`recovery.py`, `scaling.py` and `deletion.py` have the plans of those cases, `conditions.py` the status.
"""
