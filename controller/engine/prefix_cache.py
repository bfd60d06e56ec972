"""Engines that keep cached prefixes of an artifact after another one was loaded under its name.

vLLM keys the blocks of its prefix cache by the load until 0.11.0, by the adapter's name from 0.11.1 to 0.30, and by
name and path from 0.31 on (`vllm/v1/core/kv_cache_utils.py`; answers of real servers are in
`tests/conformance/recordings/weights-*.json`). Keyed by name alone, an answer of the new artifact begins with the
old one's blocks: it is neither artifact's. Such a cache can be reset only in the development mode.
"""

import re
from enum import Enum

from controller.engine.flavors import SGLANG, EngineFlavor
from formats.engine_command import EngineArgs

_RELEASE = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[.\-+a-z].*)?", re.IGNORECASE)
_ROLLING = ("latest", "nightly")
_BY_NAME_SINCE = (0, 11, 1)
_BY_PATH_SINCE = (0, 31, 0)


class PrefixCache(Enum):
    """Fate of an artifact's cached prefixes when another one is loaded under its name."""

    SEPARATE = "separate"
    """They are not used: there is no cache, or it tells the two apart."""
    RESET = "reset"
    """The operator resets the cache after each unload."""
    SHARED = "shared"
    """They may be used for the new artifact."""


def prefix_cache_of(image: str, args: EngineArgs, flavor: EngineFlavor) -> PrefixCache:
    """Return the prefix cache of an engine; one of unknown release is taken to be keyed by name."""
    if flavor is SGLANG or not args.prefix_caching:
        return PrefixCache.SEPARATE
    if args.server.development:
        return PrefixCache.RESET
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if tag.partition("-")[0] in _ROLLING:
        return PrefixCache.SEPARATE
    match = _RELEASE.fullmatch(tag)
    if match is None:
        return PrefixCache.SHARED
    release = int(match[1]), int(match[2]), int(match[3] or 0)
    return PrefixCache.SHARED if _BY_NAME_SINCE <= release < _BY_PATH_SINCE else PrefixCache.SEPARATE
