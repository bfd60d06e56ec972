"""Flags of the fake's own, and flags that the real engine does not have."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from fake_vllm.engine.config import EngineConfigError
from formats.engine_command import VLLM, EngineArgs, engine_parser

OWN_FLAGS: Mapping[str, str] = {
    "dialect": "engine to behave like, vllm or sglang (default vllm)",
    "vocab-size": "tokens in the model's vocabulary; larger ids are refused",
    "emulate": "vLLM release to behave like, such as 0.27.0 or latest",
    "preset": "built-in times of a model on a GPU; listed below",
    "parameters": "YAML file of such times",
    "startup": "time before the port opens, as a real engine needs to read its weights",
    "load-latency": "time to load an adapter",
    "unload-latency": "time to unload an adapter",
    "catalogue": "YAML file of adapter repositories; others are then not found",
    "faults": "YAML file with a list of faults",
    "fault": "one fault as KIND,key=value,...; can be repeated",
    "admin-port": "port of /_faults (default: not served)",
    "admin-host": "address of /_faults (default 127.0.0.1)",
}
_SIMILARITY = {"vllm": 0.6, "sglang": 0.9}  # not all of SGLang's flags are known, so that only a likely typo is refused


def check_unknown(args: EngineArgs) -> None:
    """Raise `EngineConfigError` for flags and words that the engine refuses.

    Not all of SGLang's flags are known, so that only a likely typo and a surplus word are refused there. Flags of the
    fake's own are no error: a simulated container may be started with them.
    """
    if not args.unknown:
        return
    own = [f"--{name}" for name in OWN_FLAGS]
    known = [*engine_parser(args.flavor).flags, *own]
    refused: list[str] = []
    hint = ""
    for words in _grouped(args.unknown):
        flag = words[0].partition("=")[0]
        is_flag = flag.startswith("-")
        similar = get_close_matches(flag, known, n=1, cutoff=_SIMILARITY[args.flavor]) if is_flag else []
        if flag in own or (is_flag and args.flavor != VLLM and not similar):
            continue
        refused += words
        hint = hint or _hint(flag, similar)
    if refused:
        raise EngineConfigError(f"unrecognized arguments: {' '.join(refused)}", flag=refused[0], exit_code=2, hint=hint)


def _hint(flag: str, similar: Sequence[str]) -> str:
    if flag in similar:
        return f"only later releases have {flag}"
    return f"did you mean {similar[0]}?" if similar else ""


def _grouped(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield each flag with its words, and words without a flag one by one."""
    group: list[str] = []
    for word in words:
        if not word.startswith("-") and group:
            group.append(word)
            continue
        if group:
            yield group
        group = [word] if word.startswith("-") else []
        if not group:
            yield [word]
    if group:
        yield group
