"""The kubeconfig for clients of a served world."""

import base64
import json
import os
from pathlib import Path
from typing import Any

CONTEXT = "twin"


def kubeconfig(url: str, token: str, *, ca: bytes = b"", namespace: str = "default") -> dict[str, Any]:
    """Return a kubeconfig with one context. `ca` is the server's CA, PEM; empty without TLS."""
    cluster: dict[str, Any] = {"server": url}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}}],
        "current-context": CONTEXT,
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the file atomically and readable by its owner only, since it contains a token. JSON is valid YAML."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
