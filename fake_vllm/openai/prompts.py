"""Prompts: text or tokens to continue, checked against the model's context as vLLM's renderer does.

See `TokenizeParams` in vllm/renderers/params.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fake_vllm.engine.config import EngineConfig
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai import tokenizer


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
        reserved: `output` must fit into the context with the prompt, as in releases before 0.32.
    """

    context: int
    output: int = 0
    truncate: int | None = None
    keep_end: bool = False
    output_field: str = "max_tokens"
    reserved: bool = False

    @property
    def most(self) -> int:
        """Largest number of tokens in a prompt."""
        return self.context - self.output if self.reserved else self.context

    def check(self) -> None:
        """Check the limits themselves.

        Raises:
            VLLMValidationError: if one is above the context.
        """
        if self.output > self.context:
            total = f"max_total_tokens={self.context}" if self.reserved else self.context
            raise VLLMValidationError(
                f"{self.output_field}={self.output} cannot be greater than max_model_len={total}. Please request fewer"
                " output tokens.",
                parameter=self.output_field,
                value=self.output,
            )
        if self.truncate is not None and self.truncate > self.most:
            rest = f" - {self.output_field}" if self.reserved else ""
            raise VLLMValidationError(
                f"truncate_prompt_tokens={self.truncate} cannot be greater than max_model_len{rest} = {self.most}."
                " Please request a smaller truncation size.",
                parameter="truncate_prompt_tokens",
                value=self.truncate,
            )

    def apply(self, content: str | list[int]) -> Prompt:
        """Return the prompt, truncated as asked for.

        Raises:
            VLLMValidationError: if it is too long.
        """
        if isinstance(content, str) and self.truncate is None and len(content) > self.most * tokenizer.WIDTH:
            raise self._too_many_characters(len(content))
        length = tokenizer.count(content) if isinstance(content, str) else len(content)
        keep = self._kept_tokens(length)
        if keep is not None:
            tokens = tokenizer.encode(content) if isinstance(content, str) else content
            start = length - keep if self.keep_end else 0
            return Prompt(tokens[start : start + keep], keep)
        if length > self.most:
            raise self._too_many_tokens(length, text=isinstance(content, str))
        return Prompt(content, length)

    def _kept_tokens(self, length: int) -> int | None:
        """Return the number of tokens that truncation keeps, None if it keeps all."""
        if self.truncate is None:
            return None
        most = self.truncate
        if most < 0:
            most = self.most if self.output == 0 or self.reserved else max(0, self.context - 1)
        return None if most >= length else most

    def _too_many_characters(self, count: int) -> VLLMValidationError:
        bound = f"more than {self.most * tokenizer.WIDTH} characters, which is the upper bound for {self.most}"
        return self._too_long(f"{count} characters ({bound} input tokens)", "", "input_text", count)

    def _too_many_tokens(self, length: int, *, text: bool) -> VLLMValidationError:
        count = self.most + 1 if text else length  # of a text, no more are counted
        qualifier = "at least " if count == self.most + 1 else ""
        total = f", for a total of {qualifier}{count + self.output} tokens"
        return self._too_long(f"{qualifier}{count} input tokens", total, "input_tokens", count)

    def _too_long(self, content: str, total: str, parameter: str, count: int) -> VLLMValidationError:
        """Return the error of a prompt with `content`; `total`: how much that is with the tokens asked for."""
        requested = ""
        if self.reserved:
            requested = f"you requested {self.output} output tokens and "
            end = f"{total}. Please reduce the length of the input prompt or the number of requested output tokens."
        else:
            more = ", which exceeds this limit even without any output tokens" if total else ""
            end = f"{more}. Please reduce the length of the input prompt."
        return VLLMValidationError(
            f"This model's maximum context length is {self.context} tokens. However, {requested}your prompt contains"
            f" {content}{end}",
            parameter=parameter,
            value=count,
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
