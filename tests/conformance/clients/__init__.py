"""Well-known clients, driven against a real vLLM and against the fake: both get the same.

`make record-clients VLLM=0.32.0` drives them against a real vLLM, `make conform-clients` against the fake. What they
send is in `requests.json`, and part of the table (`cases/clients.py`), so that CI needs no client.
"""
