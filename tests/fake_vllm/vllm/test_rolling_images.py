"""An image without a version number, such as `latest`, behaves like the newest release that is known."""

import pytest

from fake_vllm.cli import command_line
from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.versions import DEFAULT_VERSION
from fake_vllm.http.paths import LOAD_PATH
from fake_vllm.vllm.cache_config import cache_config
from fake_vllm.vllm.optional_routes import optional_routes
from formats.engine_releases import parse_release

NEWEST = "0.32.0"


def a_config(version: str = DEFAULT_VERSION) -> EngineConfig:
    command = ["vllm", "serve", "base", "--enable-lora"]
    return command_line.read(command, {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}, version=version)


@pytest.mark.parametrize("version", ["latest", "nightly", "latest-cpu"])
def test_a_rolling_image_has_the_routes_and_labels_of_the_newest_release(version: str) -> None:
    rolling, newest = a_config(version), a_config(NEWEST)
    assert LOAD_PATH in optional_routes(rolling)
    assert optional_routes(rolling).keys() == optional_routes(newest).keys()
    labels = [cache_config(parse_release(name), rolling, 1024) for name in (version, NEWEST)]
    assert labels[0] == labels[1]
