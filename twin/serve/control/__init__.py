"""The control API, which `twin fault`, `twin events` and `twin clock` call, and the status page.

Start reading at `api.py`; `models.py` has the bodies, `fault_requests.py` turns a request into a scenario's fault.
"""
