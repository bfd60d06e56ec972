"""Kinds and the rules of their fields: schemas, value validations, CEL, merge types. Start at `resource_types.py`."""
