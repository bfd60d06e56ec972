"""Labels of `vllm:cache_config_info`: the fields of vLLM's `CacheConfig` (vllm/config/cache.py), which releases change.

A release between two that were read counts as the older one.
"""

from collections.abc import Mapping

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.stats import BLOCK
from formats.engine_releases import NEVER

_FIELDS: tuple[tuple[tuple[int, ...], tuple[int, ...], str], ...] = (
    ((0,), NEVER, "block_size cache_dtype enable_prefix_caching engine gpu_memory_utilization is_attention_free"),
    ((0,), NEVER, "kv_cache_memory_bytes kv_offloading_backend kv_offloading_size kv_sharing_fast_prefill"),
    ((0,), NEVER, "mamba_block_size mamba_cache_dtype mamba_cache_mode mamba_page_size_padded mamba_ssm_cache_dtype"),
    ((0,), NEVER, "num_cpu_blocks num_gpu_blocks num_gpu_blocks_override prefix_caching_hash_algo sliding_window"),
    ((0,), (0, 20), "cpu_kvcache_space_bytes cpu_offload_gb swap_space"),
    ((0,), (0, 28), "calculate_kv_scales"),
    ((0, 20), NEVER, "_block_size_resolved kv_cache_dtype_skip_layers user_specified_block_size"),
    ((0, 20), (0, 32), "user_specified_mamba_block_size"),
    ((0, 20), (0, 27), "hash_block_size"),
    ((0, 24), NEVER, "kv_cache_max_concurrency kv_cache_size_tokens"),
    ((0, 27), NEVER, "prefix_match_unit replayssm_buffer_len skip_page_size_padded use_replayssm"),
    ((0, 30), NEVER, "kv_cache_layout prefix_cache_retention_interval use_kda_recoverssm"),
    ((0, 30), (0, 32), "enable_mamba_fine_grained_prefix_cache"),
    ((0, 32), NEVER, "cache_hit_alignment_tokens effective_attention_block_size hash_block_size swa_bounded_replay"),
    ((0, 32), NEVER, "enable_mamba_shared_prefix_checkpoint"),
)
"""First release with the fields, first release without them, and their names."""

_USUAL = {
    "_block_size_resolved": "True",
    "block_size": str(BLOCK),
    "cache_dtype": "auto",
    "effective_attention_block_size": str(BLOCK),
    "engine": "0",
    "gpu_memory_utilization": "0.9",
    "kv_offloading_backend": "native",
    "mamba_cache_dtype": "auto",
    "mamba_cache_mode": "none",
    "mamba_ssm_cache_dtype": "auto",
    "prefix_caching_hash_algo": "sha256",
}
_SWITCHES = ("is_", "kv_sharing", "use_", "calculate_", "skip_", "swa_", "user_specified", "enable_mamba")


def cache_config(release: tuple[int, ...], config: EngineConfig, kv_tokens: int) -> Mapping[str, str]:
    """Return the labels of a release for a cache of `kv_tokens` tokens."""
    known = {
        **_USUAL,
        "enable_prefix_caching": str(config.prefix_caching),
        "num_gpu_blocks": str(kv_tokens // BLOCK),
        "kv_cache_size_tokens": str(kv_tokens),
        "kv_cache_max_concurrency": str(kv_tokens / config.max_model_len),
    }
    names = [name for since, until, text in _FIELDS if since <= release < until for name in text.split()]
    return {name: known.get(name, "False" if name.startswith(_SWITCHES) else "None") for name in names}
