"""The HTTP api_view of the store: a Kubernetes API for `kubectl` and any other client. Start reading at `server.py`.

`target.py` and `request.py` say what was asked, `access.py` and `rbac.py` whether it may be, `objects.py` and
`watching.py` do it, `tables.py` is how `kubectl get` sees it; `discovery.py` and `openapi.py` tell clients what there
is. Nothing here decides what may be stored: that is the store's, so that a client in the process meets the same rules.
"""

from twin.apiserver.rest.auth.authentication import TokenAuthenticator, User
from twin.apiserver.rest.middleware import AuditEvent
from twin.apiserver.rest.pod_subresources import Containers
from twin.apiserver.rest.server import ApiServer

__all__ = ["ApiServer", "AuditEvent", "Containers", "TokenAuthenticator", "User"]
