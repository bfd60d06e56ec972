"""The ways in which servers of the table are started. Each costs a real server one to two minutes."""

from tests.conformance.exchange import Profile

UPDATING = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
_DEVELOPMENT = {**UPDATING, "VLLM_SERVER_DEV_MODE": "1", "VLLM_ENABLE_RESPONSES_API_STORE": "1"}
_FRONT = (
    *("--enable-lora", "--api-key", "sesame", "open", "--enable-request-id-headers"),
    *("--allowed-origins", '["https://example.com"]', "--allow-credentials"),
    *("--allowed-methods", '["GET", "POST"]', "--allowed-headers", '["x-token"]'),
)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile("lora", ("--enable-lora", "--max-loras", "2", "--max-cpu-loras", "4"), UPDATING),
        Profile("two-names", ("--served-model-name", "base", "alias", "--enable-lora"), UPDATING),
        Profile("key", ("--enable-lora", "--api-key", "sesame"), UPDATING, api_key="sesame"),
        Profile("no-updating", ("--enable-lora",)),
        Profile("no-lora", (), UPDATING),
        Profile("tools", ("--enable-auto-tool-choice", "--tool-call-parser", "hermes"), UPDATING),
        Profile("clients", ("--enable-lora", "--enable-auto-tool-choice", "--tool-call-parser", "hermes"), UPDATING),
        Profile("front", _FRONT, UPDATING, api_key="sesame"),
        Profile("development", ("--enable-lora",), _DEVELOPMENT),
        Profile("any-origin", ("--allowed-origins", '["*"]', "--disable-fastapi-docs")),
        Profile("root-path", ("--enable-lora", "--root-path", "/pre"), UPDATING),
        Profile("scale-out", ("--enable-lora", "--enable-scale-out"), UPDATING),
        Profile("one-process", ("--enable-lora",), {**UPDATING, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}),
    )
}
