"""Local view of the cluster: informers, pod views, indexes and Secrets. Start reading at `cache.py`."""
