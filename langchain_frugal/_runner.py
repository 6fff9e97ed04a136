"""Drives a policy over LangChain runnables: sync and async, one input, many, or streamed.

Every decision is taken in `frugal_core`; here calls are made, answers converted, and callbacks kept straight.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, set_config_context
from langchain_core.runnables.utils import coro_with_context

from frugal_core.audit import Audit
from frugal_core.decision import Decision
from frugal_core.engine import Batch, adrive, adrive_many, adrive_stream, drive, drive_many, drive_stream
from frugal_core.policies import Policy
from frugal_core.policies.audited import Audited
from frugal_core.tiers import unscored
from frugal_core.types import Answer, Query, Tier
from langchain_frugal._asking import Asking
from langchain_frugal._auditing import watch
from langchain_frugal._batching import aperform_batch, perform_batch
from langchain_frugal._runs import Host, astart_run, own_config, start_run
from langchain_frugal._tiers import TierModel

T = TypeVar("T")


class Collector(Protocol):
    """Follows one live stream: passes its chunks on, and knows the whole at the end."""

    def push(self, chunk: Any) -> Any:
        """What the caller gets for a chunk; `None` for nothing yet."""

    def answer(self, latency_s: float) -> Answer:
        """The whole, once all has come."""

    def last(self, output: Any) -> Any:
        """The chunk that closes the stream and carries the decision; `None` for none."""


class Shape(Protocol):
    """What tiers return (messages, structured values), and how it becomes an answer and goes back to the caller."""

    def read(self, output: Any, query: Query, tier: int, latency_s: float) -> Answer:
        """A tier's output as an answer."""

    def unparsed(self, error: Exception) -> Any:
        """The output of a tier whose client could not parse its answer and raised; `None` for any other failure."""

    def serve(self, decision: Decision) -> Any:
        """The accepted output with its decision: the output of the wrapper's run."""

    def result(self, output: Any) -> Any:
        """What the caller gets of that output."""

    def collect(self, query: Query, tier: int) -> Collector | None:
        """Follow a live stream; `None` where there is nothing to follow, because values come whole."""

    def chunk(self, output: Any) -> Any:
        """An accepted draft as the only chunk of a stream."""


class Cached(Protocol):
    """One input's place in a cache."""

    def lookup(self) -> Any:
        """The run's output if it is there, else `None`."""

    async def alookup(self) -> Any:
        """As `lookup`."""

    def update(self, output: Any) -> None:
        """Keep the run's output."""

    async def aupdate(self, output: Any) -> None:
        """As `update`."""


@dataclass(frozen=True)
class Runner:
    """All that does not change from call to call.

    Attributes:
        tiers: The models, cheapest first.
        policy: Who decides.
        reference: Index of the reference tier.
        shape: What tiers return.
        tools: JSON-schema function definitions on offer.
        untooled: The tiers as they were before tools or a schema were bound to them, each in its provider's form; `None` if
            none are.
        response_format: JSON schema asked for.
    """

    tiers: tuple[TierModel, ...]
    policy: Policy
    reference: int
    shape: Shape
    tools: Sequence[Mapping[str, Any]] = ()
    untooled: tuple[TierModel, ...] | None = None
    response_format: Mapping[str, Any] | None = None

    @cached_property
    def abouts(self) -> tuple[Tier, ...]:
        """What policies may know of the tiers."""
        return tuple(tier.about for tier in self.tiers)

    @cached_property
    def audit(self) -> Audit | None:
        """Who watches what is served, if anybody does."""
        return self.policy.audit if isinstance(self.policy, Audited) else None

    @cached_property
    def needs_logprobs(self) -> bool:
        """Whether drafts are asked for with log-probabilities."""
        return self.policy.needs_logprobs

    def invoke(
        self,
        host: Host,
        input: LanguageModelInput,
        config: RunnableConfig | None,
        given: Mapping[str, Any],
        cached: Cached | None = None,
    ) -> Any:
        """Answer one input."""
        run, child = start_run(host, input, config)
        try:
            output = cached.lookup() if cached else None
            if output is None:
                _acquire(host)
                asking = Asking(self, input, child, given)
                decision = _within(child if run else None, drive, asking.flow, asking.perform)
                asking.open_gates(decision)
                output = self._serve(asking, decision, cached)
                if cached:
                    cached.update(output)
            result = self.shape.result(output)
        except BaseException as error:
            if run:
                run.on_chain_error(error)
            raise
        if run:
            run.on_chain_end(output)
        return result

    async def ainvoke(
        self,
        host: Host,
        input: LanguageModelInput,
        config: RunnableConfig | None,
        given: Mapping[str, Any],
        cached: Cached | None = None,
    ) -> Any:
        """Answer one input, awaiting the tiers."""
        run, child = await astart_run(host, input, config)
        try:
            output = await cached.alookup() if cached else None
            if output is None:
                await _aacquire(host)
                asking = Asking(self, input, child, given)
                answering = adrive(asking.flow, asking.aperform)
                decision = await (_awithin(child, answering) if run else answering)
                await asking.aopen_gates(decision)
                output = self._serve(asking, decision, cached, awaited=True)
                if cached:
                    await cached.aupdate(output)
            result = self.shape.result(output)
        except BaseException as error:
            if run:
                await run.on_chain_error(error)
            raise
        if run:
            await run.on_chain_end(output)
        return result

    def stream(
        self,
        host: Any,
        input: LanguageModelInput,
        config: RunnableConfig | None,
        given: Mapping[str, Any],
        cached: Cached | None = None,
    ) -> Iterator[Any]:
        """Answer one input as a stream: nothing of a draft before it is accepted, the last tier live."""

        def answer(inputs: Iterator[Any], config: RunnableConfig) -> Iterator[Any]:
            for _ in inputs:
                pass
            output = cached.lookup() if cached else None
            if output is not None:
                yield self.shape.chunk(output)
                return
            _acquire(host)
            asking = Asking(self, input, config, given)
            for item in drive_stream(asking.flow, asking.perform, asking.stream):
                if not isinstance(item, Decision):
                    yield item
                    continue
                asking.open_gates(item)
                output = self._serve(asking, item, cached)
                last = asking.live.last(output) if asking.live else self.shape.chunk(output)
                if cached:  # before the last chunk, with which a reader may leave
                    cached.update(output)
                if last is not None:
                    yield last

        yield from host._transform_stream_with_config(iter([input]), answer, own_config(config, host))

    async def astream(
        self,
        host: Any,
        input: LanguageModelInput,
        config: RunnableConfig | None,
        given: Mapping[str, Any],
        cached: Cached | None = None,
    ) -> AsyncIterator[Any]:
        """As `stream`, awaiting the tiers."""

        async def only() -> AsyncIterator[Any]:
            yield input

        async def answer(inputs: AsyncIterator[Any], config: RunnableConfig) -> AsyncIterator[Any]:
            async for _ in inputs:
                pass
            output = await cached.alookup() if cached else None
            if output is not None:
                yield self.shape.chunk(output)
                return
            await _aacquire(host)
            asking = Asking(self, input, config, given)
            async for item in adrive_stream(asking.flow, asking.aperform, asking.astream):
                if not isinstance(item, Decision):
                    yield item
                    continue
                await asking.aopen_gates(item)
                output = self._serve(asking, item, cached, awaited=True)
                last = asking.live.last(output) if asking.live else self.shape.chunk(output)
                if cached:
                    await cached.aupdate(output)
                if last is not None:
                    yield last

        async for chunk in host._atransform_stream_with_config(only(), answer, own_config(config, host)):
            yield chunk

    def batch(
        self,
        host: Host,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None,
        given: Mapping[str, Any],
        cached: Sequence[Cached | None],
        *,
        return_exceptions: bool,
    ) -> list[Any]:
        """Answer many inputs: each tier is handed all that reach it as one batch."""
        configs = get_config_list(config, len(inputs))
        started = [start_run(host, input, own) for input, own in zip(inputs, configs, strict=True)]
        outputs: dict[int, Any] = {}
        try:
            outputs |= {index: hit for index, entry in enumerate(cached) if entry and (hit := entry.lookup()) is not None}
            askings = self._askings(inputs, [child for _, child in started], given, outputs, return_exceptions)
            order = list(askings.values())
            for _ in order:
                _acquire(host)

            def perform(tier: int, batch: Batch) -> Sequence[Answer | Exception]:
                return perform_batch(order, self.tiers[tier], batch)

            decisions = drive_many([asking.flow for asking in order], perform, return_exceptions=return_exceptions)
            for (index, asking), decision in zip(askings.items(), decisions, strict=True):
                if isinstance(decision, Exception):
                    outputs[index] = decision
                    continue
                asking.open_gates(decision)
                outputs[index] = self._serve(asking, decision, cached[index])
                if entry := cached[index]:
                    entry.update(outputs[index])
            results = [self._result(outputs[index], return_exceptions) for index in range(len(inputs))]
        except BaseException as error:
            for run, _ in started:
                if run:
                    run.on_chain_error(error)
            raise
        for index, (run, _) in enumerate(started):
            if run is None:
                continue
            if isinstance(results[index], Exception):
                run.on_chain_error(results[index])
            else:
                run.on_chain_end(outputs[index])
        return results

    async def abatch(
        self,
        host: Host,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None,
        given: Mapping[str, Any],
        cached: Sequence[Cached | None],
        *,
        return_exceptions: bool,
    ) -> list[Any]:
        """As `batch`, awaiting the tiers."""
        configs = get_config_list(config, len(inputs))
        started = [await astart_run(host, input, own) for input, own in zip(inputs, configs, strict=True)]
        outputs: dict[int, Any] = {}
        try:
            outputs |= {
                index: hit for index, entry in enumerate(cached) if entry and (hit := await entry.alookup()) is not None
            }
            askings = self._askings(inputs, [child for _, child in started], given, outputs, return_exceptions)
            order = list(askings.values())
            for _ in order:
                await _aacquire(host)

            async def perform(tier: int, batch: Batch) -> Sequence[Answer | Exception]:
                return await aperform_batch(order, self.tiers[tier], batch)

            decisions = await adrive_many([asking.flow for asking in order], perform, return_exceptions=return_exceptions)
            for (index, asking), decision in zip(askings.items(), decisions, strict=True):
                if isinstance(decision, Exception):
                    outputs[index] = decision
                    continue
                await asking.aopen_gates(decision)
                outputs[index] = self._serve(asking, decision, cached[index], awaited=True)
                if entry := cached[index]:
                    await entry.aupdate(outputs[index])
            results = [self._result(outputs[index], return_exceptions) for index in range(len(inputs))]
        except BaseException as error:
            for run, _ in started:
                if run:
                    await run.on_chain_error(error)
            raise
        for index, (run, _) in enumerate(started):
            if run is None:
                continue
            if isinstance(results[index], Exception):
                await run.on_chain_error(results[index])
            else:
                await run.on_chain_end(outputs[index])
        return results

    def _askings(
        self,
        inputs: Sequence[LanguageModelInput],
        configs: Sequence[RunnableConfig],
        given: Mapping[str, Any],
        outputs: dict[int, Any],
        return_exceptions: bool,
    ) -> dict[int, Asking]:
        """The queries of a batch that have no output yet. What is wrong with an input becomes its output if it may."""
        askings: dict[int, Asking] = {}
        for index, (input, config) in enumerate(zip(inputs, configs, strict=True)):
            if index in outputs:
                continue
            try:
                askings[index] = Asking(self, input, config, given)
            except Exception as error:
                if not return_exceptions:
                    raise
                outputs[index] = error
        return askings

    def _result(self, output: Any, return_exceptions: bool) -> Any:
        """What the caller gets for one input of a batch."""
        if isinstance(output, Exception):
            return output
        try:
            return self.shape.result(output)
        except Exception as error:
            if return_exceptions:
                return error
            raise

    def _serve(self, asking: Asking, decision: Decision, cached: Cached | None, *, awaited: bool = False) -> Any:
        if self.audit is not None:
            watch(self.audit, self, asking, decision, awaited=awaited)
        for step in unscored(decision, asking.answers, needs_logprobs=self.needs_logprobs):
            next(tier for tier in self.tiers if tier.about.name == step.tier).warn_unscored(step.error)
        return self.shape.serve(replace(decision, cache="miss") if cached else decision)


def _within(child: RunnableConfig | None, function: Callable[..., T], *args: Any) -> T:
    """Call a function with the config of a run's children around it, as core does for chains."""
    if child is None:
        return function(*args)
    with set_config_context(child) as context:
        return context.run(function, *args)


async def _awithin(child: RunnableConfig, coroutine: Coroutine[Any, Any, T]) -> T:
    with set_config_context(child) as context:
        return await coro_with_context(coroutine, context)


def _acquire(host: Host) -> None:
    if host.rate_limiter:
        host.rate_limiter.acquire(blocking=True)


async def _aacquire(host: Host) -> None:
    if host.rate_limiter:
        await host.rate_limiter.aacquire(blocking=True)
