"""SGLang's dialect: the same engine behind SGLang's command line, paths, shapes, words and metric names.

Start at `routes.py`. Facts were read in SGLang's public sources of 2025 and 2026, python/sglang/srt, of which each
module names its files.
"""
