"""Checks that an adapter's name is free for its Service, before anything is loaded.

A Service of that name that another client created is never taken over: it would get the adapter as its owner, and be
deleted with it. The operator's own Services carry its label. All Services are in the cache, so that the check needs no
request, and the adapter is woken when the name becomes free.
"""

from controller.api.labels import NAME_LABEL
from controller.api.spec import SpecProblem
from controller.api.types import ModelAdapter, Service


def is_own(service: Service, adapter: ModelAdapter) -> bool:
    """Return whether a Service of the adapter's name is the adapter's."""
    return service.metadata.labels.get(NAME_LABEL) == adapter.metadata.name


def name_problem(service: Service | None, adapter: ModelAdapter) -> SpecProblem | None:
    """Return what is wrong with the name, if anything. `service`: the Service of that name."""
    if service is None or is_own(service, adapter):
        return None
    message = f"Service {adapter.key} exists and is not this adapter's: delete it, or rename the adapter"
    return SpecProblem("ServiceNameTaken", message)
