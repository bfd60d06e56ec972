"""`python3 -m sglang.launch_server ...`, as manifests start SGLang: in the image it is the fake."""

import sys

from fake_vllm.__main__ import main

sys.argv[1:1] = ["--dialect=sglang"]
main()
