"""Pulling images: those that no registry has."""

from collections.abc import Collection

_HUB = "docker.io"


def pull_error(image: str, missing: Collection[str]) -> str:
    """Return the kubelet's message for an image that cannot be pulled; empty for one that can.

    `missing` has the images that no registry has, without tag. The text is that of a kubelet 1.31 with containerd.
    """
    if not missing or _repository(image) not in missing:
        return ""
    full = _with_registry(image)
    return (
        f'Back-off pulling image "{image}": ErrImagePull: failed to pull and unpack image "{full}": failed to resolve '
        f'reference "{full}": pull access denied, repository does not exist or may require authorization: server '
        "message: insufficient_scope: authorization failed"
    )


def _repository(image: str) -> str:
    """Return an image without tag and digest."""
    path, slash, name = image.partition("@")[0].rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}"


def _with_registry(image: str) -> str:
    """Return an image with the registry and the folder that Docker Hub's short names leave out."""
    host, slash, _ = image.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return image
    return f"{_HUB}/{image}" if slash else f"{_HUB}/library/{image}"
