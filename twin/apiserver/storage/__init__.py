"""Stored objects, watches, deletion and garbage collection. Start reading at `store.py`."""
