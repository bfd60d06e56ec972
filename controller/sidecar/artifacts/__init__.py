"""From an artifact's URL to a folder that an engine can read.

Start reading at `provider.py`, which combines the others: `url.py` parses, `stores/` list and read, `transfer.py`
fetches, `archive.py` unpacks, `validation.py` checks, `cache.py` keeps artifacts within a budget.
"""
