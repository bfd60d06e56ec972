"""What users ask of adapters while a run goes on, and what they get: start at `requests.py`.

Users (`users.py`) ask for adapters by popularity; the gateway (`gateway.py`) sends each request to an endpoint that
the adapter's EndpointSlices name, as it has seen them; the engine there answers through the simulated network. What
came of it is added up by adapter and minute (`tally.py`), and from the record into the summary's `traffic.*`
(`measures.py`). Without a section `traffic` in the scenario nothing of this is there.
"""
