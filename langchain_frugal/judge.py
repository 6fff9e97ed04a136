"""`LLMJudge`: a LangChain model says whether an answer means the same as the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig

from frugal_core.arguments import price_book
from frugal_core.learning.judging import PROMPT, Judge
from frugal_core.policies import Cascade
from frugal_core.types import Answer, Call
from langchain_frugal._asking import Asking
from langchain_frugal._messages import MessageShape
from langchain_frugal._runner import Runner
from langchain_frugal._tiers import build_tiers


class LLMJudge(Judge):
    """Labels for `grade` and `record` by a model: 1 where it finds that an answer means the same as the reference, else 0.

    `record(models, queries, path, labels=LLMJudge(judge))`. Its calls are paid for like any: the costs in the file are those of
    the answers, and `max_usd` knows nothing of the judge's. Answers in the very words of the reference are not judged.

    Args:
        model: A chat model, a Runnable that answers with messages, or a `"provider:model"` string. A model judges answers of
            its own family too kindly.
        prompt: As in `frugal_core.learning.judging.Judge`.
        probability: Give the probability of "yes" where the model gives log-probabilities.
        prices: USD per million tokens by model name, over the packaged prices.

    Raises:
        ConfigurationError: An argument is wrong.

    >>> from langchain_frugal.playground import ChatPlayground
    >>> judge = LLMJudge(ChatPlayground(model="playground-small"), prompt="{question} {answer} {reference}")
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
        runner = Runner(build_tiers([model], price_book(prices), {}), Cascade(), -1, MessageShape())

        def ask(text: str, temperature: float | None, logprobs: bool) -> Answer:
            asking = Asking(runner, text, RunnableConfig(), {})
            return asking.perform(Call(0, asking.query, "score", temperature=temperature, final=not logprobs))

        super().__init__(ask, prompt, probability=probability)
