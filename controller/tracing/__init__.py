"""Traces of reconciles and of calls to engines: `interface.py` is what the operator calls, `otlp.py` sends them."""
