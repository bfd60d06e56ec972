"""Paths of the routes that faults, the simulated network and short paths distinguish."""

COMPLETIONS_PATH = "/v1/completions"
CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"
METRICS_PATH = "/metrics"
LOAD_PATH = "/v1/load_lora_adapter"
UNLOAD_PATH = "/v1/unload_lora_adapter"
SGLANG_LOAD_PATH = "/load_lora_adapter"
SGLANG_UNLOAD_PATH = "/unload_lora_adapter"
SGLANG_GENERATE_PATH = "/generate"

GENERATING = (COMPLETIONS_PATH, CHAT_PATH, SGLANG_GENERATE_PATH)
LOADING = (LOAD_PATH, SGLANG_LOAD_PATH)
PROBED = ("/health", "/ping", "/health_generate")
CHANGES = (*LOADING, UNLOAD_PATH, SGLANG_UNLOAD_PATH)
