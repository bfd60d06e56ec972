"""Refusals of requests by a server that is well: RBAC, quotas, admission webhooks, validation.

The texts are those of a real server: `k8s.io/apiserver` (`pkg/endpoints/handlers/responsewriters/errors.go`,
`pkg/admission/plugin/webhook/errors`) and `plugin/pkg/admission/resourcequota`.
"""

from dataclasses import dataclass
from typing import Protocol

from twin.apiserver import ApiError, Store
from twin.apiserver.meta.errors import forbidden, invalid, unprocessable

USER = "system:serviceaccount:lora-system:lora-controller"
"""The operator's service account in its manifests."""
WEBHOOK = "policy.example.com"
QUOTA = "objects"


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that is refused."""

    verb: str
    plural: str
    group: str
    namespace: str
    name: str
    subresource: str = ""


class Refusal(Protocol):
    """Makes the error of a refused request."""

    def error(self, request: RefusedRequest) -> ApiError:
        """Return the server's error for a request."""
        ...


class ByRbac:
    """A role without the rule that the request needs."""

    def error(self, request: RefusedRequest) -> ApiError:
        resource = f"{request.plural}/{request.subresource}" if request.subresource else request.plural
        where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
        reason = f'User "{USER}" cannot {request.verb} resource "{resource}" in API group "{request.group}" {where}'
        error = forbidden(request.plural, request.group, request.name, reason)
        if request.name:
            return error
        qualified = f"{request.plural}.{request.group}" if request.group else request.plural
        return ApiError(403, "Forbidden", f"{qualified} is forbidden: {reason}", details=error.status["details"])


@dataclass(frozen=True, slots=True)
class ByQuota:
    """A ResourceQuota that allows as many objects as there are."""

    store: Store

    def error(self, request: RefusedRequest) -> ApiError:
        resource = f"{request.plural}.{request.group}" if request.group else request.plural
        used = len(self.store.list(resource, namespace=request.namespace).items)
        counted = f"count/{resource}"
        reason = f"exceeded quota: {QUOTA}, requested: {counted}=1, used: {counted}={used}, limited: {counted}={used}"
        return forbidden(request.plural, request.group, request.name, reason)


@dataclass(frozen=True, slots=True)
class ByAdmission:
    """A validating webhook that denies with a message, as one that is made with controller-runtime does."""

    message: str

    def error(self, request: RefusedRequest) -> ApiError:  # noqa: ARG002 - the protocol's signature
        return ApiError(403, "Forbidden", f'admission webhook "{WEBHOOK}" denied the request: {self.message}')


@dataclass(frozen=True, slots=True)
class ByValidation:
    """A rule about a field that the server has and the controller does not know."""

    field: str
    message: str

    def error(self, request: RefusedRequest) -> ApiError:
        kinds = {"modeladapters": "ModelAdapter", "endpointslices": "EndpointSlice", "leases": "Lease", "pods": "Pod"}
        kind = kinds.get(request.plural, request.plural.removesuffix("s").capitalize())
        return unprocessable(kind, request.group, request.name, [invalid(self.field, "", self.message)])
