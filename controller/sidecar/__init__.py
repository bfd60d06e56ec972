"""`lora-runtime`: the sidecar of an engine; fetches adapters from artifact stores and serves the engine's metrics.

Start reading at `adapters.py`, the steps of a load. `app.py` is the HTTP API, `engine.py` the client of the engine,
`artifacts/` everything between a URL and the disk.

Two seams: `artifacts.stores.Store` (one per artifact store) and `artifacts.provider.ArtifactProvider`, behind which the
twin puts its artifact registry.
"""
