"""Where vLLM's releases answer differently, as far as an operator of adapters can see it.

One value a release, so that nobody else compares version numbers. The releases' own sources say what
changed; where they leave open in which release it did, the cut below says that it is taken to be so.
"""

import re
from dataclasses import dataclass

DEFAULT_VERSION = "0.27.0"

_NUMBER = re.compile(r"v?(\d+)\.(\d+)(?:[.\-+a-z].*)?", re.IGNORECASE)
_ROLLING = ("latest", "nightly")  # image tags that say no number: newer than any that does

_LOAD_INPLACE_SINCE = (0, 15)  # vLLM release notes
_UNLOAD_REMOVES_SINCE = (0, 28)  # vLLM issues 42633 and 54839 have 0.27 keep the weights
_GUARDS_ALL_ROUTES_SINCE = (0, 28)  # taken to be so: it came with the rewrite of the server's front end
_VALIDATION_IS_400_SINCE = (0, 10)  # taken to be so: 2026's source has 400, early ones FastAPI's 422
_BAD_REQUEST_PHRASE_SINCE = (0, 32)  # seen on 0.32.0; earlier releases were not recorded
_KV_CACHE_METRIC_SINCE = (0, 9)  # vllm/v1/metrics/loggers.py: "Deprecated in 0.9.2 - Renamed as kv_cache_usage_perc"
_GPU_CACHE_METRIC_UNTIL = (0, 10)  # the same place: from 0.10 on only with hidden metrics shown
_INTER_TOKEN_METRIC_SINCE = (0, 11)  # the same place: "Deprecated in 0.11 - Renamed as inter_token_latency_seconds"
_PER_OUTPUT_TOKEN_METRIC_UNTIL = (0, 12)  # the same place: from 0.12 on only with hidden metrics shown
_TOKEN_IDS_SINCE = (0, 11)  # release notes: return_token_ids; the fields are there even if null
_AT_LEAST_TOKENS_SINCE = (0, 15)  # taken to be so: the text of "prompt too long" since the renderer checks it
_NO_EMBEDDINGS_ROUTE_SINCE = (0, 28)  # taken to be so: routes are registered by what the model can do


@dataclass(frozen=True, slots=True)
class VersionQuirks:
    """What one release does where releases differ."""

    load_inplace: bool
    """Whether a load may replace an adapter of the same name."""
    unload_removes: bool
    """Whether an unload takes the weights out of the engine, rather than only forgetting the name."""
    guards_all_routes: bool
    """Whether the key is asked for outside of /v1, too."""
    validation_status: int
    """HTTP status of a body that is not what the route takes."""
    validation_type: str
    """Error type of such a body."""
    metric_kv_cache: bool
    """Whether `vllm:kv_cache_usage_perc` is there."""
    metric_gpu_cache: bool
    """Whether its old name, `vllm:gpu_cache_usage_perc`, is."""
    metric_inter_token: bool
    """Whether `vllm:inter_token_latency_seconds` is there."""
    metric_per_output_token: bool
    """Whether its old name, `vllm:time_per_output_token_seconds`, is."""
    token_ids: bool
    """Whether answers have fields for token ids."""
    at_least_tokens: bool
    """Whether a prompt that is too long is told so in the words of the renderer."""
    embeddings_route: bool
    """Whether /v1/embeddings is there to say that the model cannot."""
    unload_drains: bool = False
    """Whether an unload takes the name off the list at once, and then waits for the answers that still need it."""
    changes_in_line: bool = False
    """Whether loads and unloads of all names take turns, rather than those of one."""

    @classmethod
    def of(cls, version: str) -> "VersionQuirks":
        """The behaviour of `version`, such as `0.27.0` or `v0.28.1rc1`.

        Raises:
            ValueError: if that is no version.
        """
        release = _release(version)
        return cls(
            load_inplace=release >= _LOAD_INPLACE_SINCE,
            unload_removes=release >= _UNLOAD_REMOVES_SINCE,
            guards_all_routes=release >= _GUARDS_ALL_ROUTES_SINCE,
            validation_status=400 if release >= _VALIDATION_IS_400_SINCE else 422,
            validation_type="Bad Request" if release >= _BAD_REQUEST_PHRASE_SINCE else "BadRequestError",
            metric_kv_cache=release >= _KV_CACHE_METRIC_SINCE,
            metric_gpu_cache=release < _GPU_CACHE_METRIC_UNTIL,
            metric_inter_token=release >= _INTER_TOKEN_METRIC_SINCE,
            metric_per_output_token=release < _PER_OUTPUT_TOKEN_METRIC_UNTIL,
            token_ids=release >= _TOKEN_IDS_SINCE,
            at_least_tokens=release >= _AT_LEAST_TOKENS_SINCE,
            embeddings_route=release < _NO_EMBEDDINGS_ROUTE_SINCE,
        )


SGLANG = VersionQuirks(
    load_inplace=False,
    unload_removes=True,
    guards_all_routes=True,
    validation_status=400,
    validation_type="Bad Request",
    metric_kv_cache=False,
    metric_gpu_cache=False,
    metric_inter_token=False,
    metric_per_output_token=False,
    token_ids=False,
    at_least_tokens=False,
    embeddings_route=False,
    unload_drains=True,  # lora/lora_registry.py: wait_for_unload
    changes_in_line=True,  # managers/tokenizer_control_mixin.py: lora_update_lock
)
"""SGLang, in the same terms; its releases do not differ in any of this."""


def _release(version: str) -> tuple[int, int]:
    if version in _ROLLING:
        return (10**6, 0)
    if match := _NUMBER.fullmatch(version):
        return int(match[1]), int(match[2])
    raise ValueError(f"{version!r} is no vLLM version; write it as in {DEFAULT_VERSION}, or one of {_ROLLING}")


def version_of_image(image: str, default: str = DEFAULT_VERSION) -> str:
    """The vLLM version that an image's tag names (`vllm/vllm-openai:v0.24.0` gives `0.24.0`), else `default`.

    Only images whose name has `vllm` in it count: another project's tag says nothing about vLLM.
    """
    name, _, tag = image.partition("@")[0].rpartition(":")
    if "vllm" not in name.rpartition("/")[2]:
        return default
    return tag.removeprefix("v") if _NUMBER.fullmatch(tag) or tag in _ROLLING else default
