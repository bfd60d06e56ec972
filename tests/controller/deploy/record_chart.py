"""Copy the chart's shared files, lint it, and record what Helm makes of it: `make chart`; needs `helm`.

The recordings are compared with the manifests for kubectl in `test_chart.py`, which needs no Helm.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

DEPLOY = Path(__file__).parents[3] / "controller" / "deploy"
CHART = DEPLOY / "chart"
RECORDINGS = Path(__file__).parent / "chart"
COPIES = {
    "crd.yaml": DEPLOY / "crd.yaml",
    **{name: DEPLOY / "components/monitoring" / name for name in (
        "prometheusrule.yaml", "servicemonitor.yaml", "dashboard.json"
    )},
}  # fmt: skip
"""Files in the chart that are copies, since Helm reads none outside of its folder."""
IMAGE = "registry.example.com/lora-controller"
KUBERNETES = "1.34.0"
CASES = {
    "whole-cluster": ("lora-system", ["crd.install=false"]),
    "single-namespace": ("models", ["namespaces={models}", "replicas=1", "crd.install=false"]),
    "monitoring": ("lora-system", ["crd.install=false", "monitoring.enabled=true", "dashboard.enabled=true"]),
    "tracing": ("lora-system", ["crd.install=false", "tracing.endpoint=http://otel-collector.observability:4318"]),
    "settings": (
        "lora-system",
        ["settings.LORA_CONTROLLER_RETRIES=7", "image.tag=1.2.3", "networkPolicy.enabled=false",
         "imagePullSecrets[0].name=registry", "monitoring.enabled=true", "monitoring.labels.release=prometheus"],
    ),
}  # fmt: skip
"""Namespace and values of each recording."""


def digest() -> str:
    """Return a digest of all files of the chart."""
    files = sorted(file for file in CHART.rglob("*") if file.is_file())
    parts = [f"{file.relative_to(CHART)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def render(case: str) -> str:
    """Return the output of `helm template`."""
    namespace, values = CASES[case]
    settings = [f"--set={value}" for value in (f"image.repository={IMAGE}", *values)]
    return _helm("template", "lora", str(CHART), f"--namespace={namespace}", f"--kube-version={KUBERNETES}", *settings)


def _helm(*arguments: str) -> str:
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"helm {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Copy, lint and record."""
    if shutil.which("helm") is None:
        sys.exit("helm is not installed: https://helm.sh/docs/intro/install")
    for name, source in COPIES.items():
        shutil.copy(source, CHART / "files" / name)
    print(_helm("lint", "--strict", str(CHART), f"--set=image.repository={IMAGE}"))
    version = _helm("version", "--template={{.Version}}")
    for case in CASES:
        file = RECORDINGS / f"{case}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"# helm {version}, chart {digest()}\n{render(case)}")
        print(file)


if __name__ == "__main__":
    main()
