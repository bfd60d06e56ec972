"""Flags of the real `vllm serve`: which there are, and which of them take no value.

So that a manifest's arguments are taken as they are while a misspelled flag is refused, as vLLM's parser would
do both. The lists are in realflags.txt; they were read in the public sources of vLLM, vllm/engine/arg_utils.py and
vllm/entrypoints/openai/cli_args.py, from release 0.6 on: flags that went away are still there, since manifests
still have them.
"""

from importlib.resources import files


def _read() -> tuple[frozenset[str], frozenset[str]]:
    paragraphs = files("fake_vllm.cli").joinpath("vllm_flags.txt").read_text("utf-8").split("\n\n")[1:]
    switches, valued = (paragraph.partition("\n")[2].split() for paragraph in paragraphs)
    return frozenset(switches), frozenset(valued)


SWITCHES, VALUED = _read()


def known(flag: str) -> bool:
    """Whether `vllm serve` has a flag of that name, without the dashes before it."""
    bare = flag.partition(".")[0]  # `--compilation-config.mode 3` sets one key of a flag that takes JSON
    return bare in VALUED or bare in SWITCHES or bare.removeprefix("no-") in SWITCHES
