"""Runs of scenarios.

`run.py` (start reading here) loads, simulates, evaluates, draws and writes; `folder.py` has the files of a run.
"""
