"""The record of a run, `events.jsonl`: `lines.py` defines its lines, `recorder.py` writes it."""
