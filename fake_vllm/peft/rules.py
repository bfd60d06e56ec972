"""Differences between vLLM's releases in the check of an adapter, and the error of a refused one."""

from dataclasses import dataclass


class AdapterRefusedError(Exception):
    """vLLM refuses the adapter; the text may be empty, as that of an assertion in vLLM is."""


@dataclass(frozen=True, slots=True)
class PeftRules:
    """Checks of one release."""

    positive_rank: bool
    """A rank of 0 or less has an error of its own."""
    all_features: bool
    """Features that change an adapter's meaning are refused, and patterns of ranks and alphas are read."""
    names_whole: bool = True
    """The error of a tensor has its whole name, with PEFT's prefix."""
    torch_hints: bool = True
    """The error of a damaged file of torch says what may have happened to it."""


LATEST = PeftRules(positive_rank=True, all_features=True)
