"""Handling of each field of vLLM's request bodies by the fake: a tested table, and the page that is made of it."""
