"""Injected faults of one engine: which requests they hit, when, and how a user writes them.

Start with `rules.py`; `effects.py` says what a rule does to a request.
"""
