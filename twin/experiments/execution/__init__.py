"""Run tasks and keep their results.

Start at `runner.py`: it takes `Task`s (`task.py`), has an executor (`executors.py`) run them, each by `trial.py`, and
keeps their `Row`s in a result store (`results.py`). `worktree.py` runs a task with the operator of another checkout.
"""
