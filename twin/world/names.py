"""Names as Kubernetes generates them, without randomness where Kubernetes has none.

Users look for `qwen-7d4b9c6f8-x2x9k` in a log, and the operator's annotation keys have to handle names of such length,
so they follow the same rules. The difference: a template's hash is that of its canonical JSON instead of Go's dump of
the struct. Hashes therefore differ from a real cluster's, but have the same length and alphabet, and change exactly
when the template does.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # k8s.io/apimachinery/pkg/util/rand: no vowels, nothing that looks alike
SUFFIX_LENGTH = 5  # k8s.io/apiserver/pkg/storage/names
MAX_GENERATED_BASE = 63 - SUFFIX_LENGTH  # k8s.io/apiserver/pkg/storage/names: longer bases are cut

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193


def safe_encode(text: str) -> str:
    """Encode `text` in the alphabet above, character by character (as `rand.SafeEncodeString`)."""
    return "".join(ALPHABET[ord(character) % len(ALPHABET)] for character in text)


def template_hash(template: Mapping[str, Any]) -> str:
    """Return the `pod-template-hash` of a pod template: FNV-1a, 32 bits, in decimal, encoded."""
    value = _FNV_OFFSET
    for byte in json.dumps(template, sort_keys=True, separators=(",", ":")).encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return safe_encode(f"{value:08d}")


def replica_set_name(deployment: str, template: Mapping[str, Any]) -> str:
    """Return the name of the ReplicaSet that a Deployment creates for this template."""
    return f"{deployment}-{template_hash(template)}"


def pod_name(base: str, rng: "np.random.Generator") -> str:
    """Return a name for `generateName: BASE-`; `rng` is the owner's own stream."""
    suffix = "".join(ALPHABET[int(i)] for i in rng.integers(0, len(ALPHABET), SUFFIX_LENGTH))
    return f"{(base + '-')[:MAX_GENERATED_BASE]}{suffix}"


def container_id(pod: str, container: str, incarnation: int) -> str:
    """Return the id of a pod's container at its nth start (0 is the first)."""
    digest = hashlib.sha256(f"{pod}/{container}/{incarnation}".encode()).hexdigest()
    return f"containerd://{digest}"
