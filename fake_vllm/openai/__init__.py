"""Completions and chats: request bodies, generated text, responses; shared by both server flavors.

Start with `completions.py`; `flavor.py` has the protocol that a server flavor implements.
"""
