"""Release numbers of vLLM, in version texts and in tags of images."""

import re

from formats.errors import FormatError

Release = tuple[int, int, int]

ROLLING = ("latest", "nightly")
"""Versions and image tags without a number, which are newer than any release."""
_NEWEST: Release = (10**6, 0, 0)
NEVER: tuple[int, ...] = (10**6 + 1,)
"""Bound that no release reaches, not even a rolling one."""
_NUMBER = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[.\-+a-z].*)?", re.IGNORECASE)


def parse_release(version: str) -> Release:
    """Return the three numbers of a version, such as `0.27.0` or `v0.28.1rc1`.

    Raises:
        FormatError: it is not a version.
    """
    if version.partition("-")[0] in ROLLING:
        return _NEWEST
    match = _NUMBER.fullmatch(version)
    if match is None:
        raise FormatError(f"{version!r} is not a vLLM version", f"a number such as 0.27.0, {' or '.join(ROLLING)}")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def version_of_image(image: str) -> str:
    """Return the version that an image's tag names; empty if it names none.

    Only images with `vllm` in their name count, because another project's tag does not name a vLLM version.
    """
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    try:
        parse_release(tag)
    except FormatError:
        return ""
    return tag if "vllm" in name.lower() else ""
