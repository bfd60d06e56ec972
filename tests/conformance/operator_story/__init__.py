"""The operator's story on two engines, real ones and simulated ones, and where the two differ.

Start at `story.py`, which says what happens and what is recorded. `served.py` plays it to real vLLM servers in a served
world, `simulated.py` in virtual time; `recording.py` is the file that both are compared by.
"""
