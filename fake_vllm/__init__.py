"""A vLLM server that needs no GPU. Start reading at `engine/engine.py`, then `router.py` for its HTTP interface."""
