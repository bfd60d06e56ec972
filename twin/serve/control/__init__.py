"""What `twin fault`, `twin events`, `twin clock` and a browser talk to: the control API and the status page.

Start reading at `api.py`; `models.py` has the bodies, `fault_requests.py` turns a request into a scenario's fault.
"""
