"""Virtual time and randomness: `loop.py` runs asyncio on a SimPy environment, `random_streams.py` has named streams."""
