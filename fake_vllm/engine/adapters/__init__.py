"""Adapters in an engine: the registry of names, the cache of weights, and what they cost."""
