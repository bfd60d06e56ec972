"""The served world's sockets: `gateway.py` routes inference requests, `engine_sockets.py` exposes each engine.

Start reading at `gateway.py`. `proxy.py` forwards one request to the simulated network, `sockets.py` listens.
"""
