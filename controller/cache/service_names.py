"""Checks that an adapter's name is free for its Service, before anything is loaded.

A Service of that name that another client created is never taken over: it would get the adapter as its owner, and be
deleted with it. All Services are in the cache, so that the check needs no
request, and the adapter is woken when the name becomes free.
"""

from controller.api.ownership import described_owner, is_owned
from controller.api.spec import SpecProblem
from controller.api.types import ModelAdapter, Service


def name_problem(service: Service | None, adapter: ModelAdapter) -> SpecProblem | None:
    """Return what is wrong with the name, if anything. `service`: the Service of that name."""
    if service is None or is_owned(adapter, service):
        return None
    message = f"Service {adapter.key} exists and {described_owner(service)}: delete it, or rename the adapter"
    return SpecProblem("ServiceNameTaken", message)
