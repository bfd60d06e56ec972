"""Objects as `kubectl get` prints them. Start reading at `table.py`."""
