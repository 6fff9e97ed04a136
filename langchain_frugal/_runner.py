"""Drives a policy over LangChain runnables: sync and async, one input, many, or streamed.

Every decision is taken in `frugal_core`; here calls are made, answers converted, and callbacks kept straight.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

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

if TYPE_CHECKING:
    from langchain_frugal._cached import Front, Place

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

    def replay(self, output: Any) -> Iterator[Any]:
        """A cached output as a stream."""

    def payload(self, output: Any, decision: Decision) -> str | None:
        """An output as JSON, from which it can be made again; `None` where it cannot."""

    def revived(self, payload: str, decision: Decision) -> Any:
        """The output made of what `payload` wrote, with the decision of a hit; `None` where it cannot be read."""


@dataclass(frozen=True)
class Many:
    """A batch on its way.

    Attributes:
        host: Whose it is.
        inputs: What is asked.
        configs: For the tiers' runs, one for each input.
        given: Call arguments.
        return_exceptions: Whether a failure becomes an output.
        outputs: What is answered already, by the places of its input.
        places: Theirs in the cache, if there is one.
    """

    host: Host
    inputs: Sequence[LanguageModelInput]
    configs: Sequence[RunnableConfig]
    given: Mapping[str, Any]
    return_exceptions: bool
    outputs: dict[int, Any] = field(default_factory=dict)
    places: dict[int, Place | None] = field(default_factory=dict)

    def take(self, places: Sequence[Place | None], where: Collection[int] = ()) -> list[int]:
        """Take over what the cache has; returns whose answer somebody else is about to give.

        Args:
            places: What was looked up.
            where: For which inputs; default: for all.
        """
        found = dict(zip(where or range(len(places)), places, strict=True))
        self.places.update(found)
        self.outputs.update({index: place.output for index, place in found.items() if place and place.output is not None})
        return [index for index, place in found.items() if place and place.pending]


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
    def config_ids(self) -> tuple[str, ...]:
        """What a config's `configurable` may choose in the tiers."""
        tiers = (*self.tiers, *(self.untooled or ()))
        return tuple(dict.fromkeys(spec.id for tier in tiers for spec in tier.runnable.config_specs))

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
        front: Front | None = None,
    ) -> Any:
        """Answer one input."""
        run, child = start_run(host, input, config)
        place: Place | None = None
        try:
            if front:
                (place,) = front.lookup([input], [child])
            output = place.output if place else None
            if output is None:
                _acquire(host)
                asking = Asking(self, input, child, given)
                decision = _within(child if run else None, drive, asking.flow, asking.perform)
                asking.open_gates(decision)
                output = self._serve(asking, decision, place)
                if place:
                    place.settle(output, decision)
            result = self.shape.result(output)
        except BaseException as error:
            if place:
                place.abandon()
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
        front: Front | None = None,
    ) -> Any:
        """Answer one input, awaiting the tiers."""
        run, child = await astart_run(host, input, config)
        place: Place | None = None
        try:
            if front:
                (place,) = await front.alookup([input], [child])
            output = place.output if place else None
            if output is None:
                await _aacquire(host)
                asking = Asking(self, input, child, given)
                answering = adrive(asking.flow, asking.aperform)
                decision = await (_awithin(child, answering) if run else answering)
                await asking.aopen_gates(decision)
                output = self._serve(asking, decision, place, awaited=True)
                if place:
                    await place.asettle(output, decision)
            result = self.shape.result(output)
        except BaseException as error:
            if place:
                place.abandon()
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
        front: Front | None = None,
    ) -> Iterator[Any]:
        """Answer one input as a stream: nothing of a draft before it is accepted, the last tier live."""

        def answer(inputs: Iterator[Any], config: RunnableConfig) -> Iterator[Any]:
            for _ in inputs:
                pass
            place: Place | None = None
            if front:
                (place,) = front.lookup([input], [config])
            if place and place.output is not None:
                yield from place.stream()
                return
            try:
                _acquire(host)
                asking = Asking(self, input, config, given)
                for item in drive_stream(asking.flow, asking.perform, asking.stream):
                    if not isinstance(item, Decision):
                        yield item
                        continue
                    asking.open_gates(item)
                    output = self._serve(asking, item, place)
                    last = asking.live.last(output) if asking.live else self.shape.chunk(output)
                    if place:  # before the last chunk, with which a reader may leave
                        place.settle(output, item)
                    if last is not None:
                        yield last
            finally:
                if place:
                    place.abandon()

        yield from host._transform_stream_with_config(iter([input]), answer, own_config(config, host))

    async def astream(
        self,
        host: Any,
        input: LanguageModelInput,
        config: RunnableConfig | None,
        given: Mapping[str, Any],
        front: Front | None = None,
    ) -> AsyncGenerator[Any, None]:
        """As `stream`, awaiting the tiers."""

        async def only() -> AsyncIterator[Any]:
            yield input

        async def answer(inputs: AsyncIterator[Any], config: RunnableConfig) -> AsyncIterator[Any]:
            async for _ in inputs:
                pass
            place: Place | None = None
            if front:
                (place,) = await front.alookup([input], [config])
            if place and place.output is not None:
                for chunk in place.stream():
                    yield chunk
                return
            try:
                await _aacquire(host)
                asking = Asking(self, input, config, given)
                async for item in adrive_stream(asking.flow, asking.aperform, asking.astream):
                    if not isinstance(item, Decision):
                        yield item
                        continue
                    await asking.aopen_gates(item)
                    output = self._serve(asking, item, place, awaited=True)
                    last = asking.live.last(output) if asking.live else self.shape.chunk(output)
                    if place:
                        await place.asettle(output, item)
                    if last is not None:
                        yield last
            finally:
                if place:
                    place.abandon()

        stream = host._atransform_stream_with_config(only(), answer, own_config(config, host))
        async with aclosing(stream):  # a reader who leaves early lets go of all that is held here at once
            async for chunk in stream:
                yield chunk

    def batch(
        self,
        host: Host,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None,
        given: Mapping[str, Any],
        front: Front | None = None,
        *,
        return_exceptions: bool,
    ) -> list[Any]:
        """Answer many inputs: each tier is handed all that reach it as one batch."""
        configs = get_config_list(config, len(inputs))
        started = [start_run(host, input, own) for input, own in zip(inputs, configs, strict=True)]
        many = Many(host, inputs, [child for _, child in started], given, return_exceptions)
        outputs, places = many.outputs, many.places
        try:
            waiting = many.take(front.lookup(inputs, many.configs)) if front else ()
            self._answer_many(many, waiting)
            if front and waiting:
                many.take(front.follow([places[index] for index in waiting]), waiting)
                self._answer_many(many, ())
            results = [self._result(outputs[index], return_exceptions) for index in range(len(inputs))]
        except BaseException as error:
            _abandon(places)
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
        front: Front | None = None,
        *,
        return_exceptions: bool,
    ) -> list[Any]:
        """As `batch`, awaiting the tiers."""
        configs = get_config_list(config, len(inputs))
        started = [await astart_run(host, input, own) for input, own in zip(inputs, configs, strict=True)]
        many = Many(host, inputs, [child for _, child in started], given, return_exceptions)
        outputs, places = many.outputs, many.places
        try:
            waiting = many.take(await front.alookup(inputs, many.configs)) if front else ()
            await self._aanswer_many(many, waiting)
            if front and waiting:
                many.take(await front.afollow([places[index] for index in waiting]), waiting)
                await self._aanswer_many(many, ())
            results = [self._result(outputs[index], return_exceptions) for index in range(len(inputs))]
        except BaseException as error:
            _abandon(places)
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

    def _answer_many(self, many: Many, waiting: Collection[int]) -> None:
        """Answer what has no output yet, but for those that wait, and settle their places."""
        askings, outputs = self._askings(many, waiting), many.outputs
        order = list(askings.values())
        for _ in order:
            _acquire(many.host)

        def perform(tier: int, batch: Batch) -> Sequence[Answer | Exception]:
            return perform_batch(order, self.tiers[tier], batch)

        decisions = drive_many([asking.flow for asking in order], perform, return_exceptions=many.return_exceptions)
        for (index, asking), decision in zip(askings.items(), decisions, strict=True):
            if isinstance(decision, Exception):
                outputs[index] = decision
                continue
            asking.open_gates(decision)
            place = many.places.get(index)
            outputs[index] = self._serve(asking, decision, place)
            if place:
                place.settle(outputs[index], decision)
        _abandon(many.places)

    async def _aanswer_many(self, many: Many, waiting: Collection[int]) -> None:
        """As `_answer_many`, awaiting the tiers."""
        askings, outputs = self._askings(many, waiting), many.outputs
        order = list(askings.values())
        for _ in order:
            await _aacquire(many.host)

        async def perform(tier: int, batch: Batch) -> Sequence[Answer | Exception]:
            return await aperform_batch(order, self.tiers[tier], batch)

        decisions = await adrive_many([asking.flow for asking in order], perform, return_exceptions=many.return_exceptions)
        for (index, asking), decision in zip(askings.items(), decisions, strict=True):
            if isinstance(decision, Exception):
                outputs[index] = decision
                continue
            await asking.aopen_gates(decision)
            place = many.places.get(index)
            outputs[index] = self._serve(asking, decision, place, awaited=True)
            if place:
                await place.asettle(outputs[index], decision)
        _abandon(many.places)

    def _askings(self, many: Many, waiting: Collection[int]) -> dict[int, Asking]:
        """The queries that have no output yet and need not wait. What is wrong with an input becomes its output if it may."""
        askings: dict[int, Asking] = {}
        for index, (input, config) in enumerate(zip(many.inputs, many.configs, strict=True)):
            if index in many.outputs or index in waiting:
                continue
            try:
                askings[index] = Asking(self, input, config, many.given)
            except Exception as error:
                if not many.return_exceptions:
                    raise
                many.outputs[index] = error
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

    def _serve(self, asking: Asking, decision: Decision, place: Place | None, *, awaited: bool = False) -> Any:
        if self.audit is not None:
            watch(self.audit, self, asking, decision, awaited=awaited)
        for step in unscored(decision, asking.answers, needs_logprobs=self.needs_logprobs):
            next(tier for tier in self.tiers if tier.about.name == step.tier).warn_unscored(step.error)
        return self.shape.serve(place.told(decision) if place else decision)


def _abandon(places: Mapping[int, Place | None]) -> None:
    """Let those go on who wait for what was not settled."""
    for place in places.values():
        if place:
            place.abandon()


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
