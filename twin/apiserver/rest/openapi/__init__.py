"""OpenAPI documents of the served kinds. Start reading at `documents.py`."""
