"""The engine without HTTP: adapters, scheduling, timing, metrics.

Start with `engine.py`; `scheduler.py` is the continuous batching, `adapters/` the adapters.
"""
