"""Self-verification: does the model itself hold its answer for right?"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from frugal_core.errors import ConfigurationError
from frugal_core.saving import saveable
from frugal_core.scorers.base import Scorer, Scoring
from frugal_core.scorers.sampling import check_draws, further
from frugal_core.scorers.yes_no import meaning, p_yes
from frugal_core.types import Answer, Call, Message, Query

P_TRUE = """Question:
{question}

Proposed answer:
{answer}

Is the proposed answer right? Reply with one word, Yes or No."""
"""Asks whether an answer is right (Kadavath et al. 2022, arXiv 2207.05221)."""

ENTAILMENT = """Here is what was given and asked:
{question}

An AI model answered:
{answer}

Does the answer follow from what was given, and is it correct? Reply with one word, Yes or No."""
"""Asks whether an answer follows from its context, as AutoMix does (Aggarwal et al. 2023, arXiv 2310.12963)."""

_PLACE = re.compile(r"\{(question|answer)\}")


@saveable("self_verification")
@dataclass(frozen=True)
class SelfVerification(Scorer):
    """The model's own probability that its answer is right, asked as a question of yes or no.

    Where the reply comes with log-probabilities, one call tells it: P(True), the probability of "yes" in any spelling as the
    first word (Kadavath et al. 2022, arXiv 2207.05221). Elsewhere it is the share of "yes" among `k` replies; what is neither
    yes nor no, or failed, is no yes. If no reply is either, or the first call fails, there is no signal. `AUTOMIX` takes this
    share of 8 checks everywhere, as AutoMix does (arXiv 2310.12963).

    The question holds the whole conversation as text, also the system prompt. What cannot be shown as text (images, audio,
    files) the model would judge blindly: no signal, and no call. All calls are charged to the query.

    Attributes:
        prompt: The question, with `{question}` and `{answer}` in it; to be replied to with yes or no, in English.
        k: Number of replies where no log-probabilities tell more. With 1 the score is 0 or 1 then.
        temperature: What several replies are drawn at; a single one is drawn at the model's own.
        logprobs: Whether to go by log-probabilities where there are any.

    Raises:
        ConfigurationError: One of them is out of range, or `prompt` has no `{answer}`.

    >>> SelfVerification(k=4, logprobs=False).needs_logprobs
    False
    """

    prompt: str = P_TRUE
    k: int = 1
    temperature: float | None = 0.7
    logprobs: bool = True

    def __post_init__(self) -> None:
        check_draws(self.k, self.temperature)
        found = set(_PLACE.findall(self.prompt)) if isinstance(self.prompt, str) else set()
        if "answer" not in found:
            raise ConfigurationError(f"prompt={self.prompt!r} must be a text with {{answer}} in it, and mostly {{question}}.")

    @property
    def needs_logprobs(self) -> bool:  # type: ignore[override]
        """Unless it is told to go without."""
        return self.logprobs

    def __call__(self, query: Query, answer: Answer) -> Scoring | None:
        """Probability in [0, 1], `None` for no signal."""
        return None if any(message.has_media for message in query.messages) else self._ask(query, answer)

    def _ask(self, query: Query, answer: Answer) -> Scoring:
        values = {"question": _question(query), "answer": _shown(answer)}
        text = _PLACE.sub(lambda place: values[place[1]], self.prompt)
        asked = Query((Message("user", text),), query.tiers, query.reference)
        call = Call(answer.tier, asked, "score", temperature=None if self.k == 1 else self.temperature)
        first = yield call
        told = p_yes(first) if self.logprobs else None
        if told is not None:
            return told
        replies = [first, *(yield from further(call, self.k - 1))]
        said = [meaning(reply.text) for reply in replies]
        return None if all(word is None for word in said) else said.count(True) / self.k


AUTOMIX = SelfVerification(ENTAILMENT, k=8, logprobs=False)
"""AutoMix's self-verification: the share of 8 sampled checks that find the answer entailed."""


def _question(query: Query) -> str:
    """The conversation as a text; a single turn as it is."""
    turns = [("system", query.system)] if query.system else []
    turns += [(message.role, _shown(message)) for message in query.messages]
    if len(turns) == 1:
        return turns[0][1]
    return "\n".join(f"{role.capitalize()}: {text}" for role, text in turns)


def _shown(said: Message | Answer) -> str:
    """A turn or an answer as a text: its words and its tool calls, or the value of an answer that has neither."""
    calls = (f"{call.name}({json.dumps(dict(call.args), default=str)})" for call in said.tool_calls)
    text = "\n".join(filter(None, (said.text, *calls)))
    return text or (str(said.parsed) if isinstance(said, Answer) else "")
