"""Load test of a running server: the measurements that a step-time model is fitted to.

Start at `driver.py`, which runs the levels in `levels.py`; `client.py` sends one streamed completion, `server.py` reads
what the server says of itself, `records.py` defines the file of measurements.
"""
