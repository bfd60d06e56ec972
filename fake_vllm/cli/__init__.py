"""The command line of `fake-vllm`, of vLLM and of SGLang, and the files that it names.

Start reading at `options.py`; `formats.engine_command` has the parsers of the real engines' flags.
"""
