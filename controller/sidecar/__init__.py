"""`lora-runtime`: what runs beside an engine, fetches adapters for it, and speaks for its metrics.

Start reading at `loading.py` (what a load does, in order). `artifact.py` says what a URL means, `stores/` how each
store is listed and read, `transfer.py` how files come in, `cache.py` where they are kept, `engine.py` what is asked
of vLLM and SGLang, `errors.py` everything that can go wrong as others see it. `app.py` is the HTTP face.

Two seams: stores are behind a protocol (`stores.Store`), and so is everything between a store and the disk
(`fetching.ArtifactProvider`); the twin puts its artifact registry behind the latter.
"""
