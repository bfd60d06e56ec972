"""Fit of a step-time model to a load test, and the error of its predictions.

Start at `fit.py`. It compares the measured load test with the same load test simulated (`simulate.py`), so that the
time in queues is not taken for prefill. `prediction.py` compares them for the levels that the fit has not seen.
"""
