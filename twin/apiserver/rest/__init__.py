"""The HTTP API of the store, for `kubectl` and other clients. Start reading at `server.py`.

`auth` authenticates and authorizes, `printers` renders tables, `openapi` and `discovery.py`
describe the served kinds. The store decides what may be stored, so clients in its process meet the same rules.
"""

from twin.apiserver.rest.auth.authentication import TokenAuthenticator, User
from twin.apiserver.rest.middleware import AuditEvent
from twin.apiserver.rest.pod_subresources import Containers
from twin.apiserver.rest.server import ApiServer

__all__ = ["ApiServer", "AuditEvent", "Containers", "TokenAuthenticator", "User"]
