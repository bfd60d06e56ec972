"""Requests to engines: what is in flight, how it ended, and what engines hold. Start reading at `tracker.py`.

`engine_calls.py` sends the requests, `slots.py` limits them per pod, `audit.py` and `load_monitor.py` poll engines.
"""
