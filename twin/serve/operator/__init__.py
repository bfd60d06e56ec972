"""The operator of a served world: inside it, outside of it, or as separate processes.

Start reading at `deployment.py`, its Deployment. `process_replica.py` runs `lora-controller` as a process,
`scaled_clock.py` gives that process the world's time, `external.py` observes an operator by its requests.
"""
