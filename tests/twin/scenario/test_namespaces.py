"""Namespaces in manifests: new ones, existing ones, and those that the world creates."""

from typing import Any

import pytest

from twin.kernel.loop import run
from twin.serve.network.gateway import publish
from twin.sim.simulation import Simulation

OBJECTS = """\
name: team
duration: 1m
objects:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: site, namespace: team}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: team, labels: {of: manifest}}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {of: manifest}}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: envoy-gateway-system, labels: {of: manifest}}}
"""


@pytest.mark.parametrize("name", ["team", "default", "envoy-gateway-system"])
def test_a_namespace_of_a_manifest_is_there_with_its_labels(folder: Any, name: str) -> None:
    simulation = Simulation(folder.load(OBJECTS))
    run(simulation.main(None), simulation.env)
    publish(simulation.store, "127.0.80.1", 80)
    assert simulation.store.get("namespaces", "", name)["metadata"]["labels"]["of"] == "manifest"
    assert simulation.store.get("configmaps", "team", "site")
