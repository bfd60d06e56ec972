"""A Kubernetes API server in process: start reading at `store.py`.

`drafts.py` and `kinds.py` say what may be stored, `schema.py` and `cel.py` what a CustomResourceDefinition demands,
`apply.py` and `ownership.py` are server-side apply, `watch.py` tells what has happened, `gc.py` and `deletion.py` see
objects off. It has no clock and no network of its own: the time is handed in, and HTTP can be put in front.
"""

from twin.apiserver.meta.errors import ApiError, FieldError, Object
from twin.apiserver.schema.resource_types import ResourceType
from twin.apiserver.storage.resource_store import ListResult
from twin.apiserver.storage.store import Store
from twin.apiserver.storage.watch import Change, Watch

__all__ = ["ApiError", "Change", "FieldError", "ListResult", "Object", "ResourceType", "Store", "Watch"]
