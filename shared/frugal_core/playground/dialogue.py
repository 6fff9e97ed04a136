"""How a conversation is laid out in tokens: the formats that the models are trained on."""

from __future__ import annotations

from collections.abc import Sequence

from frugal_core.errors import ConfigurationError
from frugal_core.playground.tokenizer import Tokenizer


class Dialogue:
    """Builds prompts.

    A turn is ``<|user|>question<|assistant|>answer<|end|>``. A leading ``<|tools|>`` offers the calculator; its use
    reads ``<|assistant|><|call|>12+34<|end|><|result|>46<|assistant|>46<|end|>``.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def prompt(
        self,
        user_text: str,
        *,
        tools: bool = False,
        history: Sequence[tuple[str, str]] = (),
        calculation: tuple[str, str] | None = None,
    ) -> list[int]:
        """Return the tokens up to where the assistant's answer begins; see `LanguageModel.prompt`."""
        tokenizer = self._tokenizer
        if calculation is not None and not tools:
            raise ConfigurationError("a calculation was given without tools; pass tools=True as well")
        tokens = [tokenizer.tools] if tools else []
        for question, answer in history:
            tokens += self._turn(question) + self.completion(answer)
        tokens += self._turn(user_text)
        if calculation is not None:
            expression, result = calculation
            tokens += [*self.call(expression), tokenizer.result, *tokenizer.encode(result), tokenizer.assistant]
        return tokens

    def completion(self, answer: str) -> list[int]:
        """Return an answer's tokens with their end."""
        return [*self._tokenizer.encode(answer), self._tokenizer.end]

    def call(self, expression: str) -> list[int]:
        """Return the tokens of a call of the calculator."""
        return [self._tokenizer.call, *self.completion(expression)]

    def _turn(self, text: str) -> list[int]:
        return [self._tokenizer.user, *self._tokenizer.encode(text), self._tokenizer.assistant]
