"""Evaluation of a run: reads the trace and nothing else. Start reading at `judge.py`.

`invariants/` checks the trace, `measures.py` computes the summary, `expectations.py` checks it against the scenario,
and `run_result.py` has the result.
"""
