"""HTTP to engines. Start reading at `client.py`; `errors.py` classifies failures, `flavors.py` has vLLM and SGLang."""
