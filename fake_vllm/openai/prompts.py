"""Prompts: text or tokens to continue, checked against the model's context as vLLM's renderer does.

See `TokenizeParams` in vllm/renderers/params.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fake_vllm.engine.config import EngineConfig
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai import tokenizer

_SHORTEN = " Please reduce the length of the input prompt"


@dataclass(frozen=True, slots=True)
class Prompt:
    """Text to continue; the length in tokens.

    The text of a prompt that was sent as tokens is decoded on first use: one that is too long is refused before.
    """

    content: str | list[int]
    length: int

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else tokenizer.decode(self.content)

    @property
    def identity(self) -> str:
        """Text that only the same prompt has: ids of a real vocabulary all decode to the same text."""
        if isinstance(self.content, str) or all(map(tokenizer.is_own, self.content)):
            return self.text
        return " ".join(map(str, self.content))

    @property
    def tokens(self) -> list[int]:
        return tokenizer.encode(self.content) if isinstance(self.content, str) else self.content


@dataclass(frozen=True, slots=True)
class PromptLimits:
    """Limits of one request's prompts.

    Attributes:
        context: tokens of the model's context.
        output: tokens that were asked for, 0 if unknown.
        truncate: tokens to keep; -1 for as many as fit, None for all.
        keep_end: truncation keeps the end instead of the start.
        output_field: field with the number of tokens, for errors.
        reserves_output: the context less the tokens that were asked for is left to the prompt, as before 0.32; since
            then fewer tokens are generated instead.
        names_passed: the error of a prompt that is too long begins with its length, as in 0.16.
    """

    context: int
    output: int = 0
    truncate: int | None = None
    keep_end: bool = False
    output_field: str = "max_tokens"
    reserves_output: bool = False
    names_passed: bool = False

    @property
    def input(self) -> int:
        """Most tokens of a prompt."""
        return self.context - self.output if self.reserves_output else self.context

    def check(self) -> None:
        """Check the limits themselves.

        Raises:
            VLLMValidationError: if one is above the context.
        """
        if self.output > self.context:
            context = f"max_total_tokens={self.context}" if self.reserves_output else str(self.context)
            raise VLLMValidationError(
                f"{self.output_field}={self.output} cannot be greater than max_model_len={context}. Please request"
                " fewer output tokens.",
                parameter=self.output_field,
                value=self.output,
            )
        if self.truncate is not None and self.truncate > self.input:
            limit = f"max_model_len - {self.output_field}" if self.reserves_output else "max_model_len"
            raise VLLMValidationError(
                f"truncate_prompt_tokens={self.truncate} cannot be greater than {limit} = {self.input}. Please"
                " request a smaller truncation size.",
                parameter="truncate_prompt_tokens",
                value=self.truncate,
            )

    def apply(self, content: str | list[int]) -> Prompt:
        """Return the prompt, truncated as asked for.

        Raises:
            VLLMValidationError: if it is longer than the context.
        """
        if isinstance(content, str) and self.truncate is None and len(content) > self.input * tokenizer.WIDTH:
            raise self._too_many_characters(len(content))
        length = tokenizer.count(content) if isinstance(content, str) else len(content)
        keep = self._kept_tokens(length)
        if keep is not None:
            tokens = tokenizer.encode(content) if isinstance(content, str) else content
            start = length - keep if self.keep_end else 0
            return Prompt(tokens[start : start + keep], keep)
        if length > self.input:
            raise self._too_many_tokens(length, text=isinstance(content, str))
        return Prompt(content, length)

    def _kept_tokens(self, length: int) -> int | None:
        """Return the number of tokens that truncation keeps, None if it keeps all."""
        if self.truncate is None:
            return None
        most = self.truncate
        if most < 0:
            most = self.input if self.output == 0 or self.reserves_output else max(0, self.context - 1)
        return None if most >= length else most

    def _too_many_characters(self, count: int) -> VLLMValidationError:
        most = self.input * tokenizer.WIDTH
        if self.names_passed:
            return self._passed(count, "characters", f" (at most {most} characters)", "input_text")
        bound = f"more than {most} characters, which is the upper bound for {self.input} input tokens"
        ending = "." if self.reserves_output else f".{_SHORTEN}."
        return self._too_long(f"{count} characters ({bound})", ending, "input_text", count)

    def _too_many_tokens(self, length: int, *, text: bool) -> VLLMValidationError:
        count = self.input + 1 if text else length  # of a text, no more are counted
        if self.names_passed:
            return self._passed(count, "tokens", "", "input_tokens")
        qualifier = "at least " if count == self.input + 1 else ""
        ending = f", which exceeds this limit even without any output tokens.{_SHORTEN}."
        if self.reserves_output:
            ending = f", for a total of {qualifier}{count + self.output} tokens."
        return self._too_long(f"{qualifier}{count} input tokens", ending, "input_tokens", count)

    def _passed(self, count: int, unit: str, bound: str, parameter: str) -> VLLMValidationError:
        return VLLMValidationError(
            f"You passed {count} input {unit} and requested {self.output} output tokens. However, the model's context"
            f" length is only {self.context} tokens, resulting in a maximum input length of {self.input} tokens{bound}."
            f"{_SHORTEN}.",
            parameter=parameter,
            value=count,
        )

    def _too_long(self, prompt: str, ending: str, parameter: str, value: int) -> VLLMValidationError:
        requested, advice = "", ""
        if self.reserves_output:
            requested = f"you requested {self.output} output tokens and "
            advice = f"{_SHORTEN} or the number of requested output tokens."
        return VLLMValidationError(
            f"This model's maximum context length is {self.context} tokens. However, {requested}your prompt contains"
            f" {prompt}{ending}{advice}",
            parameter=parameter,
            value=value,
        )


def split_prompts(prompt: Any) -> Sequence[str | list[int]]:
    """Return the single prompts of a completion's `prompt`.

    Raises:
        VLLMValidationError: if there are none.
    """
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise VLLMValidationError("You must pass at least one prompt")
    return [prompt] if isinstance(prompt[0], int) else prompt


def check_vocabulary(prompts: Sequence[Prompt], config: EngineConfig) -> None:
    """Check the tokens of prompts as the engine core does.

    Raises:
        VLLMValidationError: if a prompt is empty or has an unknown token.
    """
    for prompt in prompts:
        if prompt.length == 0:
            raise VLLMValidationError("The decoder prompt cannot be empty")
        if isinstance(prompt.content, list):
            largest = max(prompt.content)
            if largest >= config.frontend.vocab_size and not tokenizer.is_own(largest):
                raise VLLMValidationError(f"Token id {largest} is out of vocabulary")
