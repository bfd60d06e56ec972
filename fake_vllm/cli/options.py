"""The command line of `fake-vllm`: vLLM's own flags, and the few that only a fake has.

vLLM's flags are read by `config.py`, as they are in manifests. Here they are held against the list of those that
exist, so that a misspelled one is refused as vLLM's parser refuses it, and one that makes no difference is named in
one line of warning.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from fake_vllm.cli import command_line as commandline
from fake_vllm.cli import config_file as configfile
from fake_vllm.cli import profile as parameters
from fake_vllm.cli import sglang_args as sglang
from fake_vllm.cli import vllm_flags as realflags
from fake_vllm.cli.artifacts import Adapters, Catalogue
from fake_vllm.cli.flags import Flags
from fake_vllm.cli.profile import DEFAULT_PARAMETERS, Parameters
from fake_vllm.distributions import Constant, Latency
from fake_vllm.engine.config import EngineConfig, EngineConfigError
from fake_vllm.engine.lora import Artifact
from fake_vllm.engine.versions import DEFAULT_VERSION
from fake_vllm.faults.spec import FaultSpec, from_flag
from formats.durations import parse_duration

COUNT = (
    *("model", "served-model-name", "max-model-len", "enable-lora", "max-loras", "max-cpu-loras", "max-lora-rank"),
    *("max-num-seqs", "max-num-batched-tokens", "lora-modules", "api-key", "host", "port", "seed"),
)
"""vLLM's flags that make a difference."""
OWN: Mapping[str, str] = {
    "dialect": "vllm or sglang: whose command line, paths and answers; vllm if not given",
    "emulate": "the vLLM release to behave like, such as 0.27.0 or latest",
    "preset": "times of a model on a GPU that come along; named below",
    "parameters": "a YAML file of such times",
    "startup": "until then nothing listens, as while a real one reads its weights",
    "load-latency": "how long loading an adapter takes",
    "unload-latency": "how long unloading one takes",
    "catalogue": "a YAML file of repositories; what is neither there nor a local path is not found",
    "faults": "a YAML file with a list of faults",
    "fault": "KIND,key=value,...: one fault; may be given again and again",
    "admin-port": "where /_faults is served; off if not given",
    "admin-host": "on which address; 127.0.0.1 if not given",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What only a fake is told."""

    parameters: Parameters = DEFAULT_PARAMETERS
    seed: int = 0
    faults: tuple[FaultSpec, ...] = ()
    admin_host: str = "127.0.0.1"
    admin_port: int | None = None
    find: Callable[[str], Artifact | None] | None = None
    fetch: Callable[[str], float] | None = None
    ignored: tuple[str, ...] = field(default=())
    """vLLM's flags that were given and make no difference."""


def read(command: Sequence[str], env: Mapping[str, str]) -> tuple[EngineConfig, Options]:
    """What a command line says.

    Raises:
        EngineConfigError: if it cannot be used; one line says what is wrong and what is allowed.
    """
    words = commandline.expanded(command, env)
    given = configfile.put_in(commandline.arguments(words))
    dialect = Flags(given).text("dialect") or commandline.started(words) or "vllm"
    if dialect not in commandline.DIALECTS:
        raise EngineConfigError(f"--dialect is {dialect!r}; it must be one of {', '.join(commandline.DIALECTS)}")
    flags = Flags(given) if dialect == "vllm" else sglang.flags_of(given)
    _check(flags, dialect)
    try:
        version = flags.text("emulate") or DEFAULT_VERSION
        config = commandline.settings(given, env, version=version, dialect=dialect)
        catalogue = Catalogue.read(flags.text("catalogue")) if flags.text("catalogue") else None
        adapters = Adapters(config.model, catalogue)
        count = COUNT if dialect == "vllm" else sglang.COUNT
        options = Options(
            parameters=_parameters(flags),
            seed=flags.number("seed" if dialect == "vllm" else "random-seed", 0),
            faults=_faults(flags),
            admin_host=flags.text("admin-host") or "127.0.0.1",
            admin_port=_admin_port(flags),
            find=adapters.find,
            fetch=adapters.fetch,
            ignored=tuple(f"--{name}" for name in flags.names if name not in count and name not in OWN),
        )
    except parameters.ParametersError as error:
        raise EngineConfigError(str(error)) from error
    return config, options


def _admin_port(flags: Flags) -> int | None:
    port = flags.number("admin-port", -1)
    if not -1 <= port <= 65535:
        raise EngineConfigError(f"--admin-port is {port}; it must be between 0 and 65535")
    return port if port >= 0 else None


def _check(flags: Flags, dialect: str) -> None:
    """Refuse what the real server's parser would; of SGLang's flags only those are known that count."""
    if flags.strays:
        raise EngineConfigError(f"unrecognized arguments: {' '.join(flags.strays)}")
    known = [*OWN, *COUNT, *realflags.VALUED, *realflags.SWITCHES] if dialect == "vllm" else [*OWN, *sglang.COUNT]
    for name in flags.names:
        if name in known or (dialect == "vllm" and realflags.known(name)):
            continue
        near = get_close_matches(name, known, n=1, cutoff=0.6 if dialect == "vllm" else 0.9)
        if near or dialect == "vllm":
            raise EngineConfigError(f"unrecognized arguments: --{name}{f'; did you mean --{near[0]}?' if near else ''}")
    for name in flags.names:
        if name in OWN or (dialect == "vllm" and name in realflags.VALUED):
            flags.texts(name)  # says that a value is missing


def _parameters(flags: Flags) -> Parameters:
    if flags.text("preset") and flags.text("parameters"):
        raise EngineConfigError("--preset and --parameters: only one of them can be given")
    chosen = Parameters()
    if flags.text("preset"):
        chosen = parameters.preset(flags.text("preset"))
    elif flags.text("parameters"):
        chosen = parameters.read(flags.text("parameters"))
    chosen = replace(
        chosen,
        startup=_latency(flags, "startup", chosen.startup),
        load=_latency(flags, "load-latency", chosen.load),
        unload=_latency(flags, "unload-latency", chosen.unload),
    )
    budget = _budget(flags)
    return replace(chosen, timing=replace(chosen.timing, batched_tokens=budget)) if budget else chosen


def _budget(flags: Flags) -> int:
    """Tokens that one step may compute, by vLLM's flag or SGLang's; 0 if neither is there, or there is no limit."""
    for name in ("max-num-batched-tokens", "chunked-prefill-size"):
        given = flags.number(name, 0)
        if name == "chunked-prefill-size" and given == -1:
            return 0
        if given < 1 and flags.texts(name):
            raise EngineConfigError(f"--{name} is {given}; it must be at least 1")
        if given:
            return given
    return 0


def _latency(flags: Flags, name: str, default: Latency) -> Latency:
    text = flags.text(name)
    try:
        return Constant(parse_duration(text)) if text else default
    except ValueError as error:
        raise EngineConfigError(f"--{name}: {error}") from error


def _faults(flags: Flags) -> tuple[FaultSpec, ...]:
    planned = []
    if path := flags.text("faults"):
        given = parameters.document(path)
        listed = given.get("faults") if isinstance(given, Mapping) else given
        if not isinstance(listed, list):
            raise EngineConfigError(f"{path}: must be a list of faults")
        for at, each in enumerate(listed):
            try:
                planned.append(FaultSpec.of(each))
            except ValueError as error:
                raise EngineConfigError(f"{path}: faults[{at}]: {error}") from error
    for text in flags.every("fault"):
        try:
            planned.append(from_flag(text))
        except ValueError as error:
            raise EngineConfigError(f"--fault {text}: {error}") from error
    return tuple(planned)
