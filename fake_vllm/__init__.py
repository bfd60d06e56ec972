"""A vLLM server that needs no GPU: start reading at `engine.py`, then `wire.py` for what it says over HTTP."""
