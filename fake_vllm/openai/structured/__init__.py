"""Text that fits a constraint: a JSON schema, a regular expression, a grammar or a list of choices.

A real server masks the model's tokens so that only fitting ones remain. The fake makes a fitting text at once.
Start with `constraint.py`.
"""
