"""Random request bodies, made by seed from a real server's own schema, and what that server answered to them.

`make record-fuzz VLLM=0.32.0` plays them to a real vLLM, `make conform-fuzz` to the fake. Start with `bodies.py`.
"""
