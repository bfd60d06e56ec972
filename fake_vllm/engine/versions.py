"""Differences between vLLM's releases that a client of the LoRA routes can notice.

`VersionQuirks` has one field for each, so no other module compares version numbers. What changed is known from vLLM's
source; where the release of a change is not, the comment says "assumed".
"""

from dataclasses import dataclass
from typing import Literal

from fake_vllm.engine.lora import ExceptionKind
from fake_vllm.peft.rules import LATEST, PeftRules
from formats.engine_releases import Release, parse_release

DEFAULT_VERSION = "0.27.0"

_LOAD_INPLACE_SINCE = (0, 15)  # vLLM release notes
_BASE_NAMES_CONFLICT_SINCE = (0, 32)  # recorded: 0.30 takes them; 0.31 was not recorded
_HIDES_PATHS_SINCE = (0, 27)  # vLLM, sanitize_message; 0.24 shows paths, 0.25 and 0.26 were not read
_POSITIVE_RANK_SINCE = (0, 27)  # vllm/lora/peft_helper.py; 0.24 divides by a rank of 0
_ALL_PEFT_FEATURES_SINCE = (0, 32)  # the same file; 0.30 reads fewer fields, 0.31 was not read
_SHORTENED_NAMES = ((0, 24), (0, 27))  # vllm/lora/utils.py, parse_fine_tuned_lora_name; recorded on 0.24.0
_VALIDATION_IS_400_SINCE = (0, 10)  # assumed: 2026's source has 400, early ones FastAPI's 422
_BAD_REQUEST_PHRASE_SINCE = (0, 16)  # entrypoints/openai/server_utils.py of 0.16.0; recorded from 0.28.0 on
_KV_CACHE_METRIC_SINCE = (0, 9)  # vllm/v1/metrics/loggers.py: "Deprecated in 0.9.2 - Renamed as kv_cache_usage_perc"
_GPU_CACHE_METRIC_UNTIL = (0, 10)  # same file: from 0.10 on only with hidden metrics
_INTER_TOKEN_METRIC_SINCE = (0, 11)  # same file: "Deprecated in 0.11 - Renamed as inter_token_latency_seconds"
_PER_OUTPUT_TOKEN_METRIC_UNTIL = (0, 12)  # same file: from 0.12 on only with hidden metrics
_TOKEN_IDS_SINCE = (0, 11)  # release notes: return_token_ids; the fields are present even if null
_AT_LEAST_TOKENS_SINCE = (0, 15)  # assumed: the text of "prompt too long" since the renderer checks it
_LISTS_ALIASES_SINCE = (0, 32)  # recorded on 0.32.0
_GUARDS_BY_PREFIX_SINCE = (0, 24)  # entrypoints/serve/utils/server_utils.py: GUARDED_PREFIX; 0.20.2 guards /v1 alone
_GUARDS_COHERE_SINCE = (0, 27)  # same file
_NO_ORIGINS_SINCE = (0, 32)  # recorded: another origin is refused; 0.30.0 allows every one
_PREFIX_BY_NAME_SINCE = (0, 11, 1)  # vllm/v1/core/kv_cache_utils.py: lora_int_id until 0.11.0, a new one for each load
_PREFIX_BY_PATH_SINCE = (0, 31)  # same file: name alone in 0.30.0, name and path in 0.31.0
_ABORTS_AT_SIGTERM_SINCE = (0, 32)  # recorded: 0.28.0 and 0.30.0 leave streams open and silent; 0.31 was not
_TORCH_HINTS_SINCE = (0, 20)  # recorded: torch 2.11 of 0.20.2 has them, torch 2.10 of 0.16.0 has not
_LOADS_FAIL_WITH_500_SINCE = (0, 20)  # recorded on 0.20.2; 0.16.0 answers 400
_HANDLES_ALL_SINCE = (0, 20)  # vllm/entrypoints/openai/api_server.py; the routes of 0.16 catch their exceptions
_HANDLES_VALIDATION_SINCE = (0, 24)  # the same file: a handler of VLLMValidationError
_HANDLES_VALUES_SINCE = (0, 27)  # the same file: handlers of ValueError, TypeError and OverflowError
_DRAINS_AT_SIGTERM = ((0, 20), (0, 27))  # recorded on 0.20.2 and 0.24.0, where uvicorn replaces vLLM's handler
_CHECKS_DEVELOPMENT_SINCE = (0, 32)  # recorded: 0.30 takes queries and bodies of the development mode unchecked
_RESET_TELLS_SINCE = (0, 27)  # entrypoints/serve/dev/cache/api_router.py; 0.24.0 answers without a body


PrefixKey = Literal["load", "name", "path"]
"""Identity of an adapter's blocks in the prefix cache: a number for each load, its name, or its name and path."""


@dataclass(frozen=True, slots=True)
class VersionQuirks:
    """Behavior of one release where releases differ."""

    load_inplace: bool
    """A load may replace an adapter of the same name."""
    validation_status: int
    """HTTP status of a response to an invalid body."""
    validation_type: str
    """Error type in that response."""
    metric_kv_cache: bool
    """`vllm:kv_cache_usage_perc` exists."""
    metric_gpu_cache: bool
    """Its old name, `vllm:gpu_cache_usage_perc`, exists."""
    metric_inter_token: bool
    """`vllm:inter_token_latency_seconds` exists."""
    metric_per_output_token: bool
    """Its old name, `vllm:time_per_output_token_seconds`, exists."""
    token_ids: bool
    """Responses have fields for token ids."""
    at_least_tokens: bool
    """A prompt that is too long gets the renderer's error text."""
    prefix_key: PrefixKey
    reset_tells: bool
    """The answer to a reset of the prefix cache says whether it was possible."""
    checks_development: bool = True
    """Routes of the development mode check their input, and sleeping and waking answer with a body."""
    aborts_at_sigterm: bool = True
    """SIGTERM aborts requests; before, the engine core was gone first, and connections stayed open and silent."""
    drains_at_sigterm: bool = False
    """SIGTERM lets requests end, however long they take."""
    blames_client_of_loads: bool = False
    """Every failed load has status 400, and a missing adapter the text of a failed call."""
    guarded: tuple[str, ...] = ("/",)
    """Beginnings of the paths that need the API key."""
    allowed_origins: tuple[str, ...] = ("*",)
    """Default of `--allowed-origins`."""
    lists_aliases: bool = False
    """The error of an unknown model lists the served names."""
    base_names_conflict: bool = False
    """An adapter cannot have a name of the base model."""
    unhandled: frozenset[ExceptionKind] = frozenset()
    """Exceptions that only the handler outside all middleware takes: their responses lack its headers."""
    exceptions_are_200: bool = False
    """A request for text that ends in an exception, not a refusal, is answered with status 200 and an error's body."""
    hides_paths: bool = False
    """Paths in the texts of errors are replaced by `<path>`."""
    peft: PeftRules = LATEST
    """Check of adapters."""
    unload_removes: bool = False
    """An unload removes the weights from the engine, not only the name; vLLM forgets the name alone."""
    unload_drains: bool = False
    """An unload removes the name at once, then waits for requests that use the adapter."""
    changes_in_line: bool = False
    """Loads and unloads of all names are serialized, not only those of one name."""

    @classmethod
    def of(cls, version: str) -> "VersionQuirks":
        """Return the quirks of `version`, such as `0.27.0` or `v0.28.1rc1`.

        Raises:
            ValueError: if that is not a version.
        """
        release = parse_release(version)
        return cls(
            load_inplace=release >= _LOAD_INPLACE_SINCE,
            validation_status=400 if release >= _VALIDATION_IS_400_SINCE else 422,
            validation_type="Bad Request" if release >= _BAD_REQUEST_PHRASE_SINCE else "BadRequestError",
            metric_kv_cache=release >= _KV_CACHE_METRIC_SINCE,
            metric_gpu_cache=release < _GPU_CACHE_METRIC_UNTIL,
            metric_inter_token=release >= _INTER_TOKEN_METRIC_SINCE,
            metric_per_output_token=release < _PER_OUTPUT_TOKEN_METRIC_UNTIL,
            token_ids=release >= _TOKEN_IDS_SINCE,
            at_least_tokens=release >= _AT_LEAST_TOKENS_SINCE,
            lists_aliases=release >= _LISTS_ALIASES_SINCE,
            base_names_conflict=release >= _BASE_NAMES_CONFLICT_SINCE,
            unhandled=_unhandled(release),
            exceptions_are_200=release < _HANDLES_ALL_SINCE,
            hides_paths=release >= _HIDES_PATHS_SINCE,
            peft=PeftRules(
                positive_rank=release >= _POSITIVE_RANK_SINCE,
                all_features=release >= _ALL_PEFT_FEATURES_SINCE,
                torch_hints=release >= _TORCH_HINTS_SINCE,
                names_whole=not _SHORTENED_NAMES[0] <= release < _SHORTENED_NAMES[1],
            ),
            drains_at_sigterm=_DRAINS_AT_SIGTERM[0] <= release < _DRAINS_AT_SIGTERM[1],
            blames_client_of_loads=release < _LOADS_FAIL_WITH_500_SINCE,
            guarded=_guarded(release),
            allowed_origins=() if release >= _NO_ORIGINS_SINCE else ("*",),
            prefix_key=_prefix_key(release),
            reset_tells=release >= _RESET_TELLS_SINCE,
            checks_development=release >= _CHECKS_DEVELOPMENT_SINCE,
            aborts_at_sigterm=release >= _ABORTS_AT_SIGTERM_SINCE,
        )


SGLANG = VersionQuirks(
    load_inplace=False,
    unload_removes=True,
    validation_status=400,
    validation_type="Bad Request",
    metric_kv_cache=False,
    metric_gpu_cache=False,
    metric_inter_token=False,
    metric_per_output_token=False,
    token_ids=False,
    at_least_tokens=False,
    reset_tells=False,
    drains_at_sigterm=True,
    prefix_key="load",  # managers/schedule_batch.py: the extra_key has the lora_id, a new one for each load
    unload_drains=True,  # lora/lora_registry.py: wait_for_unload
    changes_in_line=True,  # managers/tokenizer_control_mixin.py: lora_update_lock
)
"""Quirks of SGLang, the same for all its releases."""


def _guarded(release: Release) -> tuple[str, ...]:
    if release < _GUARDS_BY_PREFIX_SINCE:
        return ("/v1",)
    cohere = ("/cohere",) if release >= _GUARDS_COHERE_SINCE else ()
    return ("/v1", "/v2", "/inference", *cohere)


def _unhandled(release: Release) -> frozenset[ExceptionKind]:
    if release < _HANDLES_ALL_SINCE:
        return frozenset()
    kinds: set[ExceptionKind] = {"other"}
    if release < _HANDLES_VALUES_SINCE:
        kinds.add("value")
    if release < _HANDLES_VALIDATION_SINCE:
        kinds |= {"validation", "load"}
    return frozenset(kinds)


def _prefix_key(release: Release) -> PrefixKey:
    if release >= _PREFIX_BY_PATH_SINCE:
        return "path"
    return "name" if release >= _PREFIX_BY_NAME_SINCE else "load"
