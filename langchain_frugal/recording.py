"""`record`: asks LangChain models the queries that policies are learned from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from typing_extensions import Unpack

from frugal_core.arguments import price_book
from frugal_core.errors import FrugalWarning
from frugal_core.policies import Cascade
from frugal_core.types import Answer, Query, Tier
from langchain_frugal._asking import Asking
from langchain_frugal._messages import MessageShape
from langchain_frugal._runner import Runner
from langchain_frugal._tiers import build_tiers

if TYPE_CHECKING:
    from frugal_core.learning.record_run import Options, Recorded
    from frugal_core.learning.recording import Asked


def record(
    models: Sequence[Any],
    queries: Iterable[Any],
    path: str | Path,
    *,
    prices: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Recorded:
    """Run every model once per query, and keep answers, labels, costs and confidence in a file that policies are learned from.

    It can be killed and run again at any time: what is in the file is not asked again. (Calls that were under way when the
    program was killed are lost; on an interrupt they are waited for.) An estimate of the cost is shown before the first call.
    Prompt and answer tokens, cost, latency, finish reason, log-probabilities and margin stand in every row, failures with
    their error. A model is given up for this run after failing ten times in a row.

    Args:
        models: Chat models, Runnables that answer with messages, or `"provider:model"` strings. Each is named by its model
            name in the file; repeated names are numbered.
        queries: Texts, conversations (prompt values, lists of messages), or dicts with `query` (one of
            these) and what there is of `query_id`, `reference` (the right answer), `split` ("train" or "test"), `dataset`, and
            further columns. Without an id it is a hash of the text; without a split it follows from the id.
        path: The file, JSON lines, not compressed. Answers that wait for samples stand in a second file, `<path>.part`.
        prices: USD per million tokens by model name, over the packaged prices.
        options: As in `frugal_core.learning.record_run.Options`: `labels`, `samples`, `max_usd`, `retry_failures` and others.

    Returns:
        What it came to; `.recordings` reads the file.

    Raises:
        ConfigurationError: An argument is wrong, or `max_usd` is too little; nothing was asked.
        RecordingsError: The file cannot be used, or contradicts the queries; nothing was asked.

    >>> import tempfile
    >>> from langchain_frugal.playground import ChatPlayground
    >>> small, large = ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")
    >>> questions = [{"query": "What is 12 plus 7?", "reference": "19"}, {"query": "What is 3 plus 4?", "reference": "7"}]
    >>> free = {"playground-small": (0, 0), "playground-large": (0, 0)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = record([small, large], questions, f"{folder}/sums.jsonl", prices=free, progress=False)
    ...     done.recordings.models, done.calls, done.failures
    (('playground-small', 'playground-large'), 4, 0)
    """
    from frugal_core.learning import record_run  # with numpy and rich, which a program that only asks does not need

    return record_run.run(Asker(models, prices), queries, path, options)


async def arecord(
    models: Sequence[Any],
    queries: Iterable[Any],
    path: str | Path,
    *,
    prices: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Recorded:
    """As `record`, awaiting the models. When it is cancelled, so are the calls under way."""
    from frugal_core.learning import record_run

    return await record_run.arun(Asker(models, prices), queries, path, options)


class Asker:
    """Chat models, asked as a wrapper would ask them.

    In another process they are made anew from what the user gave: a `"provider:model"` string gets there, where a model object
    with an open connection does not.
    """

    def __init__(self, models: Sequence[Any], prices: Any) -> None:
        self._given = models, prices
        self._runner = Runner(build_tiers(models, price_book(prices), {}), Cascade(), -1, MessageShape())
        nameless = [tier for tier in self._runner.tiers if tier.about.name.startswith(type(tier.runnable).__name__)]
        if len(nameless) > 1:
            warnings.warn(
                f"{len(nameless)} of the models are chains without a name of their own ({nameless[0].about.name}, ...): "
                "what is learned of one might be taken for another. Name them: chain.with_config(run_name='small, few-shot').",
                FrugalWarning,
                stacklevel=3,
            )

    def __reduce__(self) -> tuple[type[Asker], tuple[Any, ...]]:
        return Asker, self._given

    @cached_property
    def tiers(self) -> tuple[Tier, ...]:
        """The models."""
        return self._runner.abouts

    def read(self, given: Any) -> Query:
        """A query in the framework's form, as policies see it."""
        return self._asking(given).query

    def ask(self, asked: Asked) -> Answer:
        """Make a call."""
        asking = self._asking(asked.item.given)
        return asking.perform(asked.call(asking.query))

    async def aask(self, asked: Asked) -> Answer:
        """As `ask`, awaited."""
        asking = self._asking(asked.item.given)
        return await asking.aperform(asked.call(asking.query))

    def _asking(self, given: Any) -> Asking:
        return Asking(self._runner, given, RunnableConfig(), {})
