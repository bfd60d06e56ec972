"""Sections of a scenario file as pydantic models.

Start reading at `base_model.py`; each other module is one section or one type of value.
"""
