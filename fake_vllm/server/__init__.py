"""The engine on real sockets: FastAPI, faults on connections, the admin port, the process.

Start with `process.py`; a request arrives in `asgi.py`.
"""
