"""`SmartJob`: a list of items through LlamaIndex LLMs, at a fraction of the reference's cost, under a guarantee."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from llamaindex_frugal.recording import Asker

if TYPE_CHECKING:
    from frugal_core.learning.smart_run import Estimate, Options, SmartResult


class SmartJob:
    """Answers a list of items with cheaper models where these do as well as a reference, and proves that they do.

    A random sample of the items is put to all models. As soon as a cheaper one is proved to differ from the reference on few
    enough items, it answers the rest; or it answers part of them, and the reference the others. With probability at least
    `confidence`, at most the share `max_disagreement` of all outputs differs from what the reference gives. Profiling stops
    when its expected cost exceeds the expected saving. Where a model fails, the reference answers.

    The job is kept in a file. It can be killed and run again at any time: what is in the file is not paid again. (Calls that
    were under way when the program was killed are lost; on an interrupt they are waited for.) An estimate is shown before the
    first call, then progress, cost and saving.

    Args:
        models: LLMs or `"provider:model"` strings, which may stand in for the reference.
        reference: The model whose answers are the standard, given like the others.
        items: Texts, conversations (a `ChatMessage` or a list of them), or dicts with `query` (one of these) and perhaps
            `query_id`. Without an id it is a hash of the text. An item that stands there twice is paid once.
        max_disagreement: Largest share of outputs that may differ from the reference's, in (0, 1).
        confidence: In (0, 1).
        path: The file, JSON lines, not compressed; it is made if there is none.
        prices: USD per million tokens by model name, over the packaged prices.
        options: As in `frugal_core.learning.smart_run.Options`: `compare`, `max_usd`, `max_concurrency` and others.

    Raises:
        ConfigurationError: An argument is wrong, or a model's price is unknown; nothing was asked.

    Source: Jo and Trummer, "SMART" (arXiv 2403.13835), with bounds that hold at every look; see `frugal_core.learning.smart`.

    >>> import tempfile
    >>> from llamaindex_frugal.playground import PlaygroundLLM
    >>> small, large = PlaygroundLLM("playground-small"), PlaygroundLLM("playground-large")
    >>> prices = {"playground-small": (0.1, 0.1), "playground-large": (2, 2)}
    >>> questions = [f"Which is larger, {a} or {b}?" for a in range(20, 26) for b in range(50, 60)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/larger.jsonl"
    ...     job = SmartJob([small], large, questions, 0.2, path=path, prices=prices, progress=False)
    ...     done = job.run()
    ...     again = job.run()
    >>> done.plan.certified, done.plan.profiled, done.plan.at_most <= done.plan.allowed, done.saving > 2
    (('playground-small',), 20, True, True)
    >>> len(done.texts), done.calls, again.calls, again.outputs == done.outputs
    (60, 80, 0, True)
    """

    def __init__(
        self,
        models: Sequence[Any],
        reference: Any,
        items: Iterable[Any],
        max_disagreement: float,
        confidence: float = 0.95,
        *,
        path: str | Path,
        prices: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> None:
        from frugal_core.learning import smart_run  # with numpy and rich, which a program that only asks does not need

        asker = Asker(smart_run.with_reference(models, reference), prices)
        self._run = smart_run.SmartRun(asker, items, max_disagreement, confidence, path, options)

    def estimate(self) -> Estimate:
        """What the job may cost, by the lengths of its prompts; nothing is asked."""
        return self._run.estimate()

    def run(self, executor: Executor | None = None) -> SmartResult:
        """Run the job, or go on with it where it was.

        Args:
            executor: Where calls are made: any `concurrent.futures.Executor`, such as Dask's `client.get_executor()`; by
                default threads. To reach other processes, models must be picklable or named by strings.

        Returns:
            Outputs in order of the items, what is promised of them, cost and saving.

        Raises:
            ConfigurationError: `max_usd` is too little; nothing was asked.
            RecordingsError: The file cannot be used, or holds another job; nothing was asked.
            FrugalError: It had to stop: a model failed ten times in a row, `max_usd` was reached, or the executor cannot run
                calls. What was paid for is kept; run it again to go on.
            Exception: Whatever a `compare` function raised. What was paid for is kept.
        """
        return self._run.run(executor)

    async def arun(self) -> SmartResult:
        """As `run`, awaiting the models. When it is cancelled, so are the calls under way."""
        return await self._run.arun()
