"""Bodies on the wire: JSON, YAML, protobuf, and what happens to unknown fields. Start reading at `body.py`."""
