"""YAML: `positions.py` reads it with line and column of each value, `writer.py` writes it."""
