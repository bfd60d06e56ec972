"""Many runs: what `twin compare`, `sweep`, `search`, `swarm` and `shrink` share.

A design (`design.py`) is a list of variants, each a scenario that has been checked, and a list of seeds. Every pair of
them is a `Task`; `trial.py` turns one into a `Row`, wherever it runs. An executor (`executors.py`) does tasks: here, on
several processes, on Dask, on Ray. A store (`store.py`) keeps rows as they come, so that nothing is run twice, and
writes one Parquet file in the end. What rows mean is for `twin.statistics` to say.

No name is lifted up to here: a process that is to run another checkout's operator must be able to import
`twin.experiments.checkout` before anything has imported `controller`.
"""
