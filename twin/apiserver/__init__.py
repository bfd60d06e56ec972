"""A Kubernetes API server in process: start reading at `storage/store.py`.

Layers, lowest first: `meta` (errors, selectors), `schema` (kinds and their rules), `patch` (merge patches, server-side
apply), `registry` (builtin kinds, CRDs, create and update strategy), `storage` (objects, watches, garbage collection),
`codec` (bodies on the wire), `rest` (HTTP). The server has no clock and opens no socket: time is passed in, and
`twin/serve` listens.
"""

from twin.apiserver.meta.errors import ApiError, FieldError, Object
from twin.apiserver.storage.store import Store
from twin.apiserver.storage.watch import Change, Watch

__all__ = ["ApiError", "Change", "FieldError", "Object", "Store", "Watch"]
