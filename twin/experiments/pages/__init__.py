"""HTML pages of experiments: `comparison`, `sweep`, `search` and `swarm`, one module each.

Each is one file that works offline. The same result gives the same bytes. `template.py` has the parts that they share;
the templates and stylesheets are in `twin/report`.
"""
