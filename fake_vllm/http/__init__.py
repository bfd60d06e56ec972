"""Requests and responses as values, and bodies as pydantic models. Nothing here depends on an engine.

Start with `messages.py`.
"""
