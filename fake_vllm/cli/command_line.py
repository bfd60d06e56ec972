"""The settings of a fake engine from the command line and environment of a real one, as manifests have them."""

from collections.abc import Mapping, Sequence

from fake_vllm.cli.flags import check_unknown
from fake_vllm.cli.sglang_args import sglang_config
from fake_vllm.cli.vllm_args import release_of_flags, vllm_config
from fake_vllm.engine.config import EngineConfig, EngineConfigError
from fake_vllm.engine.versions import DEFAULT_VERSION
from formats.engine_command import SGLANG, read_engine_args
from formats.errors import FormatError


def read(
    command: Sequence[str], env: Mapping[str, str], *, version: str = DEFAULT_VERSION, dialect: str = ""
) -> EngineConfig:
    """Return the settings of the engine in a container.

    Args:
        command: the container's command and arguments, joined.
        env: its environment.
        version: the vLLM release to behave like.
        dialect: `vllm` or `sglang` where the command does not say it.

    Raises:
        EngineConfigError: if the engine would not start.
    """
    try:
        args = read_engine_args(command, env, flavor=dialect, release=release_of_flags(version))
        check_unknown(args)
        return sglang_config(args) if args.flavor == SGLANG else vllm_config(args, version)
    except FormatError as error:
        raise EngineConfigError(str(error), exit_code=2) from error
