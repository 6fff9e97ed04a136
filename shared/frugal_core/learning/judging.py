"""Labels by a model that judges: what it is asked, and how its verdict is read. Calls no model itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from frugal_core.agreement import exact
from frugal_core.arguments import shown
from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.provider_logprobs import refuses
from frugal_core.scorers.yes_no import meaning, p_yes
from frugal_core.types import Answer

PROMPT = """Question:
{question}

Reference answer:
{reference}

Proposed answer:
{answer}

As an answer to this question, does the proposed answer mean the same as the reference answer? Wording, form and extra \
explanation do not matter; a different fact, number, name or choice does. Reply with one word, Yes or No."""
"""Asks whether an answer means the same as the reference."""

Ask: TypeAlias = Callable[[str, float | None, bool], Answer]
"""Asks a model: the text, the temperature (`None` for its own), and whether log-probabilities are wanted."""

_PLACE = re.compile(r"\{(question|answer|reference)\}")


class Judge:
    """Labels for `grade` and `record`: whether a model finds that an answer means the same as the reference.

    The plugins' `LLMJudge` give it a model. The same words count as the same meaning unasked, and no words as another. The
    model is asked at temperature 0, or at its own where its provider refuses that.

    Args:
        ask: Asks the model.
        prompt: The question, with `{answer}`, `{reference}` and mostly `{question}` in it; to be replied to with yes or no,
            in English, as the first word.
        probability: Give the probability of "yes" in [0, 1] where the reply comes with log-probabilities, not 0 or 1.

    Raises:
        ConfigurationError: `prompt` has no `{answer}` or no `{reference}`.
    """

    def __init__(self, ask: Ask, prompt: str = PROMPT, *, probability: bool = False) -> None:
        found = set(_PLACE.findall(prompt)) if isinstance(prompt, str) else set()
        if not {"answer", "reference"} <= found:
            raise ConfigurationError(
                f"prompt={shown(prompt)} must be a text with {{answer}} and {{reference}} in it, and mostly {{question}}."
            )
        self.prompt = prompt
        self.probability = bool(probability)
        self._ask = ask
        self._temperature: float | None = 0.0

    def __call__(self, query: str, answer: str, reference: str) -> float:
        """From 0 (another meaning) to 1 (the same).

        Raises:
            ScorerError: The reply begins with neither yes nor no.
            Exception: The model's own failure.
        """
        if exact(answer, reference):
            return 1.0
        if not answer.strip():
            return 0.0
        values = {"question": query, "answer": answer, "reference": reference}
        reply = self._reply(_PLACE.sub(lambda place: values[place[1]], self.prompt))
        told = p_yes(reply) if self.probability else None
        if told is not None:
            return told
        said = meaning(reply.text)
        if said is None:
            raise ScorerError(
                f"The judge replied {shown(reply.text)}, which begins with neither yes nor no: choose a model that keeps to "
                "the question, or another prompt."
            )
        return float(said)

    def _reply(self, text: str) -> Answer:
        try:
            return self._ask(text, self._temperature, self.probability)
        except Exception as error:
            if self._temperature is None or not refuses(error, "temperature"):
                raise
        self._temperature = None
        return self._ask(text, None, self.probability)
