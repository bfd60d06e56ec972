"""`python3 -m vllm.entrypoints.openai.api_server ...`, as many manifests start vLLM: in the image it is the fake."""

from fake_vllm.__main__ import main

main()
