"""Builtin kinds and CustomResourceDefinitions, and what a write does to an object. Start at `strategy.py`."""
