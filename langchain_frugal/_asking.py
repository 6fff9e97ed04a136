"""One query on its way through the tiers: makes the calls its policy asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import patch_config, set_config_context
from langchain_core.runnables.utils import coro_with_context

from frugal_core.decision import Decision
from frugal_core.types import Answer, Call, Query, samples
from langchain_frugal._convert import conversation, from_query, system_prompt, to_messages
from langchain_frugal._gate import Gate, gated
from langchain_frugal._history import clean_history
from langchain_frugal._messages import MessageShape
from langchain_frugal._tiers import TierModel

if TYPE_CHECKING:
    from langchain_frugal._runner import Collector, Runner


class Asking:
    """State of one query: its flow, its config, and the gates of its drafts.

    Args:
        runner: The wrapper's tiers and policy.
        input: The conversation, as the caller gave it; it reaches the tiers so unless their provider needs it cleaned.
        config: Config for the tiers' runs.
        given: Call arguments of the user (`stop`, ...).
    """

    __slots__ = ("_config", "_gates", "_given", "_input", "_messages", "_runner", "answers", "flow", "live", "query")

    def __init__(self, runner: Runner, input: LanguageModelInput, config: RunnableConfig, given: Mapping[str, Any]) -> None:
        self._runner = runner
        self._input = input
        self._messages = None if isinstance(input, str) else to_messages(input)
        self._config = config
        self._given = given
        self._gates: dict[int, list[Gate]] = {}
        self.answers: dict[str, Answer] = {}  # by the names of their tiers
        self.live: Collector | None = None
        self.query = Query(
            conversation(self._messages or str(input)),
            runner.abouts,
            runner.reference,
            system_prompt(self._messages) if self._messages else "",
            runner.tools,
            runner.response_format,
            metadata=config.get("metadata") or {},
        )
        self.flow = runner.policy.decide(self.query)

    def perform(self, call: Call) -> Answer:
        """Make a call."""
        self.live = None
        if call.n > 1:
            return samples([self.perform(replace(call, n=1)) for _ in range(call.n)])
        tier, config, gates = self._tier(call)
        since = perf_counter()
        try:
            output = self._invoked(tier, call, config, gates)
        except Exception as error:
            if not tier.forgoes_logprobs(error):
                raise
            output = self._invoked(tier, call, config, gates)
        return self.read(call, output, perf_counter() - since)

    async def aperform(self, call: Call) -> Answer:
        """Make a call, awaiting it."""
        self.live = None
        if call.n > 1:
            return samples([await self.aperform(replace(call, n=1)) for _ in range(call.n)])
        tier, config, gates = self._tier(call)
        since = perf_counter()
        try:
            output = await self._ainvoked(tier, call, config, gates)
        except Exception as error:
            if not tier.forgoes_logprobs(error):
                raise
            output = await self._ainvoked(tier, call, config, gates)
        return self.read(call, output, perf_counter() - since)

    def stream(self, call: Call) -> Iterator[Any]:
        """Make a final call: its chunks as they come, then the whole answer."""
        tier = self._asked(call)
        since = perf_counter()
        self.live = collector = self._runner.shape.collect(self.query, call.tier)
        if collector is None:
            yield self.perform(call)
            return
        for chunk in self.called(call).stream(self._input_for(tier, call), self._config, **self._kwargs(tier, call)):
            passed = collector.push(chunk)
            if passed is not None:
                yield passed
        yield collector.answer(perf_counter() - since)

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        """As `stream`, awaiting the chunks."""
        tier = self._asked(call)
        since = perf_counter()
        self.live = collector = self._runner.shape.collect(self.query, call.tier)
        if collector is None:
            yield await self.aperform(call)
            return
        async for chunk in self.called(call).astream(self._input_for(tier, call), self._config, **self._kwargs(tier, call)):
            passed = collector.push(chunk)
            if passed is not None:
                yield passed
        yield collector.answer(perf_counter() - since)

    def again(self, runner: Runner, configure: Callable[[RunnableConfig], RunnableConfig]) -> Asking:
        """The same query, for another policy and under another config."""
        return Asking(runner, self._input if self._messages is None else self._messages, configure(self._config), self._given)

    def open_gates(self, decision: Decision) -> None:
        """Let streaming handlers hear the accepted draft."""
        for gate in self._accepted_gates(decision):
            gate.open()

    async def aopen_gates(self, decision: Decision) -> None:
        """As `open_gates`, awaiting async handlers."""
        for gate in self._accepted_gates(decision):
            await gate.aopen()

    def called(self, call: Call) -> Runnable[Any, Any]:
        """What makes a call."""
        return self._asked(call).called(call, self._given_to(call))

    def made_up(self, call: Call) -> bool:
        """Whether a call asks a question of a scorer's own: without the user's tools, schema and call arguments."""
        return call.query is not self.query and not call.query.tools and call.query.response_format is None

    def batch_item(self, call: Call) -> tuple[Any, RunnableConfig, dict[str, Any]]:
        """Input, config and arguments of a call that a batch makes."""
        tier, config, _ = self._tier(call)
        return self._input_for(tier, call), config, self._kwargs(tier, call)

    def read(self, call: Call, output: Any, latency_s: float) -> Answer:
        """Answer from what a call returned."""
        shape = MessageShape() if self.made_up(call) else self._runner.shape
        query = self.query if call.query is self.query else replace(call.query, tiers=self.query.tiers)
        answer = shape.read(output, query, call.tier, latency_s)
        if call.purpose == "answer":
            self.answers[self._runner.tiers[call.tier].about.name] = answer
        return answer

    def unparsed(self, call: Call, error: Exception) -> Any:
        """The output of a tier whose client could not parse its answer and raised; `None` for any other failure."""
        return None if self.made_up(call) else self._runner.shape.unparsed(error)

    def _invoked(self, tier: TierModel, call: Call, config: RunnableConfig, gates: Sequence[Gate]) -> Any:
        try:
            return self._invoke(tier, call, config, gates)
        except Exception as error:
            output = self.unparsed(call, error)
            if output is None:
                raise
            return output

    async def _ainvoked(self, tier: TierModel, call: Call, config: RunnableConfig, gates: Sequence[Gate]) -> Any:
        try:
            return await self._ainvoke(tier, call, config, gates)
        except Exception as error:
            output = self.unparsed(call, error)
            if output is None:
                raise
            return output

    def _invoke(self, tier: TierModel, call: Call, config: RunnableConfig, gates: Sequence[Gate]) -> Any:
        if not gates:
            return self.called(call).invoke(self._input_for(tier, call), config, **self._kwargs(tier, call))
        with set_config_context(config) as context:  # else core would find the ungated handlers in the context
            return context.run(self.called(call).invoke, self._input_for(tier, call), config, **self._kwargs(tier, call))

    async def _ainvoke(self, tier: TierModel, call: Call, config: RunnableConfig, gates: Sequence[Gate]) -> Any:
        if not gates:
            return await self.called(call).ainvoke(self._input_for(tier, call), config, **self._kwargs(tier, call))
        with set_config_context(config) as context:
            reply = context.run(self.called(call).ainvoke, self._input_for(tier, call), config, **self._kwargs(tier, call))
            return await coro_with_context(reply, context)

    def _tier(self, call: Call) -> tuple[TierModel, RunnableConfig, list[Gate]]:
        """The tier of a call, with a config whose streaming handlers wait until the draft is accepted."""
        tier = self._asked(call)
        manager = self._config.get("callbacks")
        if call.final or not isinstance(manager, BaseCallbackManager):
            return tier, self._config, []
        manager, gates = gated(manager)
        if not gates:
            return tier, self._config, []
        if call.purpose == "answer":
            self._gates[call.tier] = gates
        return tier, patch_config(self._config, callbacks=manager), gates

    def _accepted_gates(self, decision: Decision) -> Sequence[Gate]:
        return self._gates.get(decision.answer.tier, ()) if self._gates else ()

    def _input_for(self, tier: TierModel, call: Call) -> LanguageModelInput:
        if call.query is not self.query:
            return from_query(call.query)
        if tier.model is None:  # a chain's first step is to find the same whatever the caller gave: messages
            return self._messages or to_messages(self._input)
        if self._messages is None:
            return self._input
        cleaned = clean_history(self._messages, tier.client)
        return self._input if cleaned is self._messages else cleaned

    def _kwargs(self, tier: TierModel, call: Call) -> dict[str, Any]:
        return tier.kwargs(call, self._given_to(call), logprobs=self._runner.needs_logprobs)

    def _asked(self, call: Call) -> TierModel:
        tiers = self._runner.untooled if self.made_up(call) else None
        return (tiers or self._runner.tiers)[call.tier]

    def _given_to(self, call: Call) -> Mapping[str, Any]:
        return {} if self.made_up(call) else self._given
