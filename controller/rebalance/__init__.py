"""Moves of replicas that are placed: the fleet → bounds → the fewest moves → one after the other.

`planner.py` and all that it imports are pure; start reading there. `fleet_view.py` reads a fleet from the caches,
`rebalancer.py` decides now and then which moves begin. A move itself is made by the reconciler (`reconcile/moves.py`).
"""
