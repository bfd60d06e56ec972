"""SGLang's flavor: routes, request bodies, error texts, responses, metrics. Start with `routes.py`.

Its facts come from SGLang's public sources of 2025 and 2026 (python/sglang/srt); each module names its files.
"""
