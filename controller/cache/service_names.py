"""Checks of an adapter's name, before anything is loaded.

The name is that of a Service. A Service of that name that another client created is never taken over: it would get the
adapter as its owner, and be deleted with it. All Services are in the cache, so that the check needs no request, and the
adapter is woken when the name becomes free.

The name is also that of a model in the engines. An adapter with the name of a base model would take its requests.
"""

import re
from collections.abc import Iterable, Set

from controller.api.ownership import described_owner, is_owned
from controller.api.spec import SpecProblem
from controller.api.types import ModelAdapter, Service
from controller.cache.pod_index import PodIndex

_SERVICE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""Names of Services (RFC 1123 label); servers before 1.36 also refuse a leading digit."""


def name_problem(service: Service | None, adapter: ModelAdapter) -> SpecProblem | None:
    """Return what is wrong with the name, if anything. `service`: the Service of that name."""
    name = adapter.metadata.name
    if not _SERVICE_NAME.fullmatch(name):
        allowed = "at most 63 lower-case letters, digits and hyphens, no dot"
        return SpecProblem(
            "InvalidName", f"{name!r} cannot be a Service's name ({allowed}): create it under another name"
        )
    if service is None or is_owned(adapter, service):
        return None
    message = f"Service {adapter.key} exists and {described_owner(service)}: delete it, or rename the adapter"
    return SpecProblem("ServiceNameTaken", message)


def base_name_problem(name: str, matching: PodIndex, listed: Iterable[Set[str]]) -> SpecProblem | None:
    """Return a problem if engines that the adapter may be loaded into serve their base model under its name.

    The command lines of all matching pods tell it before any request. `listed`, the base models that the selected
    pods' engines list, tells it also where the image or a file sets the name.
    """
    if name not in matching.base_names and not any(name in bases for bases in listed):
        return None
    return SpecProblem(
        "NameOfBaseModel",
        f"engines that podSelector matches serve their base model as {name!r}: an adapter of that name would get its "
        "requests; create the adapter under another name",
    )
