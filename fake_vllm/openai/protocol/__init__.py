"""Request bodies of the OpenAI routes, shaped as vLLM's own protocol classes: names, types, defaults and checks.

Types and validators are pydantic's, as on the real server, so the texts of validation errors are pydantic's too. The
classes are the newest release's; what older ones do not know or check otherwise is in `releases.py`.
Start with `completion.py`.
"""
