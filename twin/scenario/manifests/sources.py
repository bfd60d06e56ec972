"""Files and objects that manifests are made from: kustomizations, Helm charts, Argo CD and Flux applications.

The twin reads the manifests themselves, so an error or a note says which command prints them.
"""

import os
from typing import Any

from twin.scenario.errors import Path, Problem
from twin.scenario.yaml.positions import Document

_KUSTOMIZE = "kustomize.config.k8s.io/"
KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_POINTERS = {
    ("argoproj.io", "Application"): "argocd app manifests {name}",
    ("argoproj.io", "ApplicationSet"): "argocd appset generate FILE",
    ("kustomize.toolkit.fluxcd.io", "Kustomization"): "flux build kustomization {name}",
    ("helm.toolkit.fluxcd.io", "HelmRelease"): "helm get manifest {name}",
}
"""Command that prints the manifests, by group and kind of an object that only points to them."""


def source_problem(value: Any, document: Document, path: Path = ()) -> Problem | None:
    """Return an error for a kustomization or a part of a Helm chart; None for anything else."""
    if not isinstance(value, dict):
        return None
    folder, name = os.path.split(document.file)
    folder = folder or "."
    has_kind = isinstance(value.get("kind"), str)
    if str(value.get("apiVersion", "")).startswith(_KUSTOMIZE) or (not has_kind and name in KUSTOMIZATION_FILES):
        advice = f"list the output of `kubectl kustomize {folder}` instead"
        return document.problem(path, "is a kustomization, not a manifest", advice)
    if not has_kind and (name == "Chart.yaml" or name.startswith("values")):
        chart = folder if name == "Chart.yaml" else "CHART"
        values = "" if name == "Chart.yaml" else f" -f {document.file}"
        advice = f"list the output of `helm template {chart}{values}` instead"
        return document.problem(path, "is part of a Helm chart, not a manifest", advice)
    return None


def pointer_advice(api_version: str, kind: str, name: str) -> str:
    """Return what to give instead of an object that only points to manifests; empty for other objects."""
    command = _POINTERS.get((api_version.rpartition("/")[0], kind))
    if command is None:
        return ""
    return f"it only points to manifests; list those that `{command.format(name=name)}` prints"
