"""What the API server knows of a kind: where it lives, what it can do, and the rules its objects obey.

The store treats all kinds alike; what differs is here as data and in one function a kind, `admit`, which sets
defaults, drops unknown fields and reports what is wrong. Builtin kinds come from `builtins.py`, others from
CustomResourceDefinitions (`crd.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from twin.apiserver.meta.errors import FieldError, Object, no_such_resource
from twin.apiserver.schema import metadata
from twin.apiserver.schema.merge_types import PLAIN, MergeType
from twin.apiserver.schema.structural import Check

Admit = Callable[[Object, Object | None, list[FieldError]], Object]
"""`admit(new, old, errors)` returns `new` with defaults set and unknown fields dropped; faults go to `errors`.

It never mutates `new`, and leaves alone what is identical to `old`'s."""


def take_as_is(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    """The rules of a kind that has none."""
    return new


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a kind keeps what its `scale` subresource shows; names from the object's root."""

    spec_replicas: tuple[str, ...] = ("spec", "replicas")
    status_replicas: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One kind of object, in one version."""

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    """Words that stand for several kinds at once, as `kubectl get all` does."""
    status: bool = False
    """Whether `status` is a subresource: only written through it, and only it is written through it."""
    keeps_status_on_create: bool = False
    scale: ScalePaths | None = None
    generation: bool = False
    """Whether `metadata.generation` counts changes of what is wanted."""
    unconditional_update: bool = True
    """Whether an update may come without a resourceVersion."""
    custom: bool = False
    """Whether it comes from a CustomResourceDefinition: no strategic merge patch then."""
    name_rule: Callable[[str], Iterator[str]] = metadata.subdomain
    admit: Admit = take_as_is
    types: Check | None = None
    """The JSON types of those fields of a builtin kind that its rules read."""
    merge_type: MergeType = PLAIN
    selectable: tuple[str, ...] = ()
    """Fields of a custom resource that field selectors may name (`selectableFields`)."""
    columns: tuple[Object, ...] = field(default=(), compare=False)
    """`additionalPrinterColumns` of a custom resource, for a Table answer."""
    schema: Object | None = field(default=None, compare=False)
    """`openAPIV3Schema` of a custom resource."""

    @property
    def resource(self) -> str:
        """The name used with the store: `plural.group`, or `plural` in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """What `apiVersion` says: `group/version`, or `version` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def subresources(self) -> tuple[str, ...]:
        """The subresources that can be read and written."""
        return (("status",) if self.status else ()) + (("scale",) if self.scale else ())


class Registry:
    """All kinds that are known, by resource name."""

    def __init__(self) -> None:
        self._types: dict[str, ResourceType] = {}

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(self._types.values())

    def __contains__(self, resource: str) -> bool:
        return resource in self._types

    def add(self, kind: ResourceType) -> None:
        """Know `kind` from now on, or know it anew."""
        self._types[kind.resource] = kind

    def remove(self, resource: str) -> None:
        """Know it no more."""
        self._types.pop(resource, None)

    def __getitem__(self, resource: str) -> ResourceType:
        """The kind of that resource name.

        Raises:
            ApiError: 404, there is none.
        """
        kind = self._types.get(resource)
        if kind is None:
            raise no_such_resource(resource)
        return kind

    def of_object(self, obj: Object) -> ResourceType | None:
        """The kind that an object's `apiVersion` and `kind` name, if it is known."""
        wanted = (obj.get("apiVersion"), obj.get("kind"))
        return next((kind for kind in self if (kind.api_version, kind.kind) == wanted), None)
