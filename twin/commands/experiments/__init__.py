"""Commands that run many simulations: compare, sweep, search and swarm; `options.py` has what they share."""
