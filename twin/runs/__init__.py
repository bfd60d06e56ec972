"""Runs of scenarios: `run.py` (start reading here) loads, simulates, evaluates and writes; `folder.py` has the files."""
