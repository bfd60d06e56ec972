"""The engine without HTTP: adapters, scheduling, timing, metrics.

Start with `engine.py`; `scheduler.py` is the continuous batching, `lora_registry.py` and `lora_cache.py` the adapters.
"""
