"""The command line of `fake-vllm`: the real engine's flags, and flags of the fake's own.

The real engine's flags are parsed as the real engine parses them, so that a misspelled one is refused; one that makes
no difference here is listed in `Options.ignored`.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fake_vllm.cli import profile as profiles
from fake_vllm.cli.artifacts import ArtifactCatalogue, ArtifactResolver
from fake_vllm.cli.flags import OWN_FLAGS, check_unknown
from fake_vllm.cli.profile import DEFAULT_PROFILE, ModelProfile, ProfileError
from fake_vllm.cli.sglang_args import sglang_config
from fake_vllm.cli.vllm_args import release_of_flags, vllm_config
from fake_vllm.distributions import Constant, Latency
from fake_vllm.engine.config import EngineConfig, EngineConfigError
from fake_vllm.engine.lora import Artifact
from fake_vllm.engine.versions import DEFAULT_VERSION
from fake_vllm.faults.spec import FaultSpec, from_flag
from fake_vllm.peft.base_model import ModelShape
from fake_vllm.peft.folder import AdapterCheck
from formats.durations import parse_duration
from formats.engine_command import (
    SGLANG,
    VLLM,
    EngineArgs,
    EngineCommand,
    engine_parser,
    merge_config_file,
    read_command,
)
from formats.engine_command.argument_parser import FlexibleArgumentParser
from formats.engine_releases import Release, parse_release
from formats.errors import FormatError

_FLAVORS = (VLLM, SGLANG)


@dataclass(frozen=True, slots=True)
class Options:
    """Values of the fake's own flags."""

    profile: ModelProfile = DEFAULT_PROFILE
    seed: int = 0
    faults: tuple[FaultSpec, ...] = ()
    admin_host: str = "127.0.0.1"
    admin_port: int | None = None
    find: Callable[[str], Artifact | None] | None = None
    fetch: Callable[[str], float] | None = None
    ignored: tuple[str, ...] = field(default=())
    """Flags of the real engine that make no difference here."""


def read(command: Sequence[str], env: Mapping[str, str]) -> tuple[EngineConfig, Options]:
    """Return the settings of the engine and of the fake.

    Raises:
        EngineConfigError: if the command line cannot be used; one line says what is wrong and what is allowed.
    """
    try:
        engine = read_command(command, env)
        flavor, version = _emulated(engine)
        values, args = _parse(engine, flavor, release_of_flags(version))
        check_unknown(args)
        config = _config(args, version)
        if values.vocab_size is not None:
            config = replace(config, frontend=replace(config.frontend, vocab_size=values.vocab_size))
        return config, _options(values, args, config)
    except (FormatError, ProfileError) as error:
        raise EngineConfigError(str(error), exit_code=2) from error


def _config(args: EngineArgs, version: str) -> EngineConfig:
    if args.flavor == SGLANG:
        return sglang_config(args)
    return vllm_config(args, version, ModelShape.read(args.model) if args.model else None)


def flags_with_meaning(flavor: str) -> list[str]:
    """Return the real engine's flags that make a difference to the fake."""
    return engine_parser(flavor).meaningful


def _parse(engine: EngineCommand, flavor: str, release: Release | None) -> tuple[Namespace, EngineArgs]:
    parser = engine_parser(flavor, release)
    for name in OWN_FLAGS:
        if name == "fault":
            parser.add_argument("--fault", action="append", default=[])
        else:
            parser.add_argument(f"--{name}", type=int if name in ("admin-port", "vocab-size") else str)
    values, unknown = parser.parse(_with_config_file(engine.args) if flavor == VLLM else engine.args)
    return values, EngineArgs.from_namespace(values, flavor, engine.env, unknown)


def _emulated(engine: EngineCommand) -> tuple[str, str]:
    """Return flavor and version to behave like, which decide which flags there are."""
    parser = FlexibleArgumentParser()
    parser.add_argument("--dialect")
    parser.add_argument("--emulate", default=DEFAULT_VERSION)
    values, _ = parser.parse(engine.args)
    flavor = str(values.dialect or engine.flavor or VLLM)
    if flavor not in _FLAVORS:
        raise EngineConfigError(f"--dialect is {flavor!r}; it must be one of {', '.join(_FLAVORS)}", exit_code=2)
    try:
        parse_release(values.emulate)
    except FormatError as error:
        raise EngineConfigError(f"--emulate: {error}", exit_code=2) from error
    return flavor, str(values.emulate)


def _with_config_file(args: Sequence[str]) -> list[str]:
    """Return the arguments with those of the file that `--config` names; vLLM reads it before it parses."""
    try:
        return merge_config_file(args, _config_document)
    except (FormatError, ProfileError) as error:
        raise EngineConfigError(str(error), flag="--config") from error


def _config_document(path: str) -> object:
    """Return the content of the configuration file; one that cannot be opened gets Python's message, as in vLLM."""
    try:
        return profiles.document(path)
    except ProfileError as error:
        if isinstance(error.__cause__, OSError):
            raise FormatError(str(error.__cause__)) from error
        raise


def _options(values: Namespace, args: EngineArgs, config: EngineConfig) -> Options:
    catalogue = ArtifactCatalogue.read(values.catalogue) if values.catalogue else None
    check = AdapterCheck(ModelShape.read(config.model), config.max_lora_rank, config.quirks.peft)
    resolver = ArtifactResolver(check, catalogue)
    port = values.admin_port
    if port is not None and not 0 <= port <= 65535:
        raise EngineConfigError(f"--admin-port is {port}; it must be between 0 and 65535")
    return Options(
        profile=_profile(values, args),
        seed=args.seed,
        faults=_faults(values),
        admin_host=values.admin_host or "127.0.0.1",
        admin_port=port,
        find=resolver.find,
        fetch=resolver.fetch,
        ignored=(*args.ignored, *args.unknown),
    )


def _profile(values: Namespace, args: EngineArgs) -> ModelProfile:
    if values.preset and values.parameters:
        raise EngineConfigError("--preset and --parameters: only one of them can be given")
    profile = ModelProfile()
    if values.preset:
        profile = profiles.preset(values.preset)
    elif values.parameters:
        profile = profiles.read(values.parameters)
    profile = replace(
        profile,
        startup=_latency("--startup", values.startup, profile.startup),
        load=_latency("--load-latency", values.load_latency, profile.load),
        unload=_latency("--unload-latency", values.unload_latency, profile.unload),
    )
    budget = args.max_num_batched_tokens
    if budget is None or (args.flavor == SGLANG and budget == -1):  # -1: SGLang splits no prefill
        return profile
    if budget < 1:
        flag = "--chunked-prefill-size" if args.flavor == SGLANG else "--max-num-batched-tokens"
        raise EngineConfigError(f"{flag} is {budget}; it must be at least 1")
    return replace(profile, timing=replace(profile.timing, batched_tokens=budget))


def _latency(flag: str, text: str | None, default: Latency) -> Latency:
    try:
        return Constant(parse_duration(text)) if text else default
    except FormatError as error:
        raise EngineConfigError(f"{flag}: {error}") from error


def _faults(values: Namespace) -> tuple[FaultSpec, ...]:
    faults: list[FaultSpec] = []
    if path := values.faults:
        content = profiles.document(path)
        items = content.get("faults") if isinstance(content, Mapping) else content
        if not isinstance(items, list):
            raise EngineConfigError(f"{path}: must be a list of faults")
        for index, item in enumerate(items):
            try:
                faults.append(FaultSpec.parse(item))
            except ValueError as error:
                raise EngineConfigError(f"{path}: faults[{index}]: {error}") from error
    for text in values.fault:
        try:
            faults.append(from_flag(text))
        except ValueError as error:
            raise EngineConfigError(f"--fault {text}: {error}") from error
    return tuple(faults)
