"""One simulation run; start reading at `simulation.py`.

`settings.py` turns a scenario into the settings of each part.
"""
