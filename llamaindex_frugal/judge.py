"""`LLMJudge`: a LlamaIndex LLM says whether an answer means the same as the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_core.arguments import price_book
from frugal_core.learning.judging import PROMPT, Judge
from frugal_core.policies import Cascade
from frugal_core.types import Answer, Call
from llamaindex_frugal._asking import Asking
from llamaindex_frugal._requests import CompletionRequest
from llamaindex_frugal._runner import Runner
from llamaindex_frugal._tiers import build_tiers


class LLMJudge(Judge):
    """Labels for `grade` and `record` by a model: 1 where it finds that an answer means the same as the reference, else 0.

    `record(models, queries, path, labels=LLMJudge(judge))`. Its calls are paid for like any: the costs in the file are those of
    the answers, and `max_usd` knows nothing of the judge's. Answers in the very words of the reference are not judged.

    Args:
        model: An LLM, or a `"provider:model"` string. A model judges answers of its own
            family too kindly.
        prompt: As in `frugal_core.learning.judging.Judge`.
        probability: Give the probability of "yes" where the model gives log-probabilities.
        prices: USD per million tokens by model name, over the packaged prices.

    Raises:
        ConfigurationError: An argument is wrong.

    >>> from llamaindex_frugal.playground import PlaygroundLLM
    >>> judge = LLMJudge(PlaygroundLLM("playground-small"), prompt="{question} {answer} {reference}")
    >>> judge("What is 3 plus 4?", "7", "7 ")  # the same words: nothing to judge
    1.0
    """

    def __init__(
        self,
        model: Any,
        *,
        prompt: str = PROMPT,
        probability: bool = False,
        prices: Mapping[str, Any] | None = None,
    ) -> None:
        runner = Runner(build_tiers([model], price_book(prices), {}), Cascade(), -1)

        def ask(text: str, temperature: float | None, logprobs: bool) -> Answer:
            asking = Asking(runner, CompletionRequest(text, formatted=False, given={}))
            return asking.perform(Call(0, asking.query, "score", temperature=temperature, final=not logprobs))

        super().__init__(ask, prompt, probability=probability)
