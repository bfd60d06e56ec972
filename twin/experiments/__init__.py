"""Experiments of many runs: `twin compare`, `sweep`, `search`, `swarm` and `shrink`.

Start at `design.py`: a design is a list of variants (checked scenarios) and a list of seeds; each pair of them is a
task. `execution/` runs tasks and stores their rows. Each experiment is a module: `comparison.py`, `sweep.py`,
`search.py`, `swarm.py`, `shrink.py`. Nothing is exported here: a worker process of another checkout imports
`twin.experiments.execution.worktree_child` before anything has imported `controller`.
"""
