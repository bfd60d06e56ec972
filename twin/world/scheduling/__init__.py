"""The simulated scheduler: which node a pod runs on, by room, affinity and priority. Start at `scheduler.py`."""
