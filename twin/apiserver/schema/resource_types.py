"""Resource types: where a kind is served, what it supports, and the rules of its objects.

The store treats all kinds alike. Differences are data here, and one function per kind, `admit`, which sets defaults,
drops unknown fields and reports errors. Builtin kinds come from `registry/builtins.py`, others from
CustomResourceDefinitions (`registry/crd.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from twin.apiserver.meta.errors import FieldError, Object, no_such_resource
from twin.apiserver.schema import metadata
from twin.apiserver.schema.merge_types import PLAIN, MergeType
from twin.apiserver.schema.structural import Check

Admit = Callable[[Object, Object | None, list[FieldError]], Object]
"""`admit(new, old, errors)` returns `new` with defaults and without unknown fields, and appends to `errors`.

It does not mutate `new`, and does not check what is identical to `old`."""


def accept_unchanged(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    """Accept an object of a kind without rules."""
    return new


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Paths, from the root of an object, of the values that its `scale` subresource shows."""

    spec_replicas: tuple[str, ...] = ("spec", "replicas")
    status_replicas: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One kind of object in one version.

    Attributes:
        plural: plural name.
        kind: kind.
        group: API group; empty for core.
        version: API version.
        namespaced: objects live in namespaces.
        singular: singular name.
        short_names: short names for kubectl.
        categories: names of groups of kinds, as in `kubectl get all`.
        status: `status` is a subresource, written only through it.
        keeps_status_on_create: a create keeps the status.
        finalize: `spec.finalizers` is written only through the subresource `finalize`.
        binding: the server's own parts write node and conditions of a pod through `binding`.
        scale: paths of the `scale` subresource, if there is one.
        generation: `metadata.generation` counts changes of the spec.
        unconditional_update: an update may lack the resourceVersion.
        custom: the kind comes from a CustomResourceDefinition, so it has no strategic merge patch.
        name_rule: yields the errors of a name.
        admit: rules of the kind.
        types: check of the JSON types that the rules of a builtin kind rely on.
        merge_type: how objects merge.
        selectable: fields of a custom resource that field selectors may name (`selectableFields`).
        columns: `additionalPrinterColumns` of a custom resource.
        schema: `openAPIV3Schema` of a custom resource.
    """

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    keeps_status_on_create: bool = False
    finalize: bool = False
    binding: bool = False
    scale: ScalePaths | None = None
    generation: bool = False
    unconditional_update: bool = True
    custom: bool = False
    name_rule: Callable[[str], Iterator[str]] = metadata.subdomain
    admit: Admit = accept_unchanged
    types: Check | None = None
    merge_type: MergeType = PLAIN
    selectable: tuple[str, ...] = ()
    columns: tuple[Object, ...] = field(default=(), compare=False)
    schema: Object | None = field(default=None, compare=False)

    @property
    def resource(self) -> str:
        """Resource name in the store: `plural.group`, or `plural` in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """Value of `apiVersion`: `group/version`, or `version` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def subresources(self) -> tuple[str, ...]:
        """Subresources that can be read and written."""
        shown = (("status", self.status), ("scale", self.scale), ("finalize", self.finalize))
        return tuple(name for name, is_served in shown if is_served)


class Registry:
    """All served kinds, by resource name."""

    def __init__(self) -> None:
        self._types: dict[str, ResourceType] = {}

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(self._types.values())

    def __contains__(self, resource: str) -> bool:
        return resource in self._types

    def add(self, kind: ResourceType) -> None:
        """Serve a kind, or replace it."""
        self._types[kind.resource] = kind

    def remove(self, resource: str) -> None:
        """Stop serving a kind."""
        self._types.pop(resource, None)

    def __getitem__(self, resource: str) -> ResourceType:
        """Return the kind of a resource name.

        Raises:
            ApiError: 404 if there is no such resource.
        """
        kind = self._types.get(resource)
        if kind is None:
            raise no_such_resource(resource)
        return kind

    def of_object(self, obj: Object) -> ResourceType | None:
        """Return the kind of an object's `apiVersion` and `kind`, or None if it is not served."""
        identity = (obj.get("apiVersion"), obj.get("kind"))
        return next((kind for kind in self if (kind.api_version, kind.kind) == identity), None)
