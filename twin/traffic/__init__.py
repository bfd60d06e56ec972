"""Users' requests to adapters during a run; start reading at `generator.py`.

Users choose adapters by popularity (`popularity.py`). The gateway (`gateway.py`) sends each request to an endpoint in
the adapter's EndpointSlices; the engine there answers through the simulated network. Results are summed up per adapter
and minute (`stats.py`), and from the record into the summary's `traffic.*`. Without the section `traffic` in the
scenario there are no requests.
"""
