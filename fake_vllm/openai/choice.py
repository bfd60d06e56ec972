"""One choice of an answer: a value that responses are built from."""

from dataclasses import dataclass

from fake_vllm.engine.sequence import Ending
from fake_vllm.openai.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Choice:
    """The generated text by tokens, and the reason why it ends."""

    index: int
    prompt: Prompt
    pieces: tuple[str, ...]
    ending: Ending
    stop: str | int | None
    """Stop string or token that ended the text."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def ends_itself(self) -> bool:
        """The model ended the text: its last token is the one that ends a text."""
        return self.ending == "stop" and self.stop is None
