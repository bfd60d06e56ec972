"""vLLM's flavor: routes, request bodies, error texts, model cards, metrics. Start with `routes.py`."""
