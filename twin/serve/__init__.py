"""The simulated world in wall-clock time, behind sockets: what `twin serve` runs.

Start reading at `server.py`, which builds the world and opens its sockets. `clock.py` maps the wall clock to simulated
time, `network` has the gateway and the engines' sockets, `control` the control API, `operator` the operator inside,
outside or as separate processes, `comparison.py` compares a simulated run with a served one.
"""
