"""Text that must mean the same wherever a user types it: flags, environment, CRD fields, scenarios, manifests.

Lies below the three packages and imports none of them. Start reading at `durations.py`; `engine_command/` reads the
command line of a container that runs vLLM or SGLang.
"""
