"""The semantic cache in front of a call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase

from frugal_core.cache import Answered, CacheOptions, Lookup, Question, SemanticCache
from frugal_core.cache.storable import UNSERIALIZABLE, objection_to
from frugal_core.decision import Decision
from langchain_frugal._answered import compared
from langchain_frugal._cached import options_for
from langchain_frugal._convert import to_messages
from langchain_frugal._question import question_from

if TYPE_CHECKING:
    from langchain_frugal._runner import Runner
    from langchain_frugal._tiers import TierModel


@dataclass(frozen=True)
class SemanticFront:
    """The semantic cache in front of a call.

    Attributes:
        cache: The cache.
        runner: Who answers what it does not.
        identity: All that an answer depends on besides the question: models with their settings, and the policy.
        given: The call's arguments, without those that are the cache's.
        asked: Those that are.
    """

    cache: SemanticCache
    runner: Runner
    identity: str
    given: Mapping[str, Any]
    asked: Mapping[str, Any]

    def lookup(self, inputs: Sequence[LanguageModelInput], configs: Sequence[RunnableConfig]) -> list[SemanticPlace | None]:
        """One by itself waits for who is answering it; many are looked up at once, and none of them waits."""
        found = self._questions(inputs, configs)
        questions, options = [question for question, _ in found.values()], [own for _, own in found.values()]
        single = len(inputs) == 1 and questions
        looked = [self.cache.lookup(questions[0], options[0])] if single else self.cache.lookup_many(questions, options)
        return self._places(len(inputs), found, looked)

    async def alookup(
        self, inputs: Sequence[LanguageModelInput], configs: Sequence[RunnableConfig]
    ) -> list[SemanticPlace | None]:
        """As `lookup`."""
        found = self._questions(inputs, configs)
        questions, options = [question for question, _ in found.values()], [own for _, own in found.values()]
        if len(inputs) == 1 and questions:
            return self._places(1, found, [await self.cache.alookup(questions[0], options[0])])
        return self._places(len(inputs), found, await self.cache.alookup_many(questions, options))

    def follow(self, places: Sequence[SemanticPlace]) -> list[SemanticPlace]:
        """Wait for those who are answering the same."""
        lookups = [place.lookup for place in places]
        questions, options = [each.question for each in lookups], [each.options for each in lookups]
        return [SemanticPlace(self, each) for each in self.cache.lookup_many(questions, options, follow=True)]

    async def afollow(self, places: Sequence[SemanticPlace]) -> list[SemanticPlace]:
        """As `follow`."""
        lookups = [place.lookup for place in places]
        questions, options = [each.question for each in lookups], [each.options for each in lookups]
        return [SemanticPlace(self, each) for each in await self.cache.alookup_many(questions, options, follow=True)]

    def question(self, input: LanguageModelInput, config: RunnableConfig, options: CacheOptions) -> Question:
        """An input as a question."""
        runner, configurable = self.runner, config.get("configurable") or {}
        chosen = {name: configurable[name] for name in runner.config_ids if name in configurable}
        return question_from(
            to_messages(input),
            identity=self.identity,
            namespace=self.cache.namespace(options),
            given={**self.given, "frugal:configurable": chosen} if chosen else self.given,
            max_turns=self.cache.max_turns,
            tools=runner.tools,
            response_format=runner.response_format,
        )

    @cached_property
    def _plain(self) -> bool:
        """Whether the call's arguments can be told from others: an object that is no plain data cannot."""
        try:
            json.dumps(self.given)
        except (TypeError, ValueError):
            return False
        return True

    def answered(self, output: Any, decision: Decision) -> Answered:
        """A run's output, as the cache takes it."""
        answer, runner = decision.answer, self.runner
        payload = runner.shape.payload(output, decision)
        objection = objection_to(answer, decision, _temperature(runner.tiers[answer.tier], self.given))
        return Answered(
            compared(answer),
            payload or "",
            objection or (None if payload else UNSERIALIZABLE),
            semantic=not answer.tool_calls or runner.response_format is not None,
            cost_usd=decision.cost_usd,
            baseline_cost_usd=decision.baseline_cost_usd,
        )

    def _questions(
        self, inputs: Sequence[LanguageModelInput], configs: Sequence[RunnableConfig]
    ) -> dict[int, tuple[Question, CacheOptions]]:
        """By their places among the inputs: those that are questions, and may be looked up."""
        found: dict[int, tuple[Question, CacheOptions]] = {}
        for place, (input, config) in enumerate(zip(inputs, configs, strict=True)):
            options = options_for(config, self.asked)
            if options.no_cache or not self._plain:
                continue
            try:
                found[place] = self.question(input, config, options), options
            except (ValueError, NotImplementedError):  # raised again when it comes to asking, within the run
                continue
        return found

    def _places(
        self, count: int, found: Mapping[int, tuple[Question, CacheOptions]], lookups: Sequence[Lookup]
    ) -> list[SemanticPlace | None]:
        places: list[SemanticPlace | None] = [None] * count
        for place, lookup in zip(found, lookups, strict=True):
            places[place] = SemanticPlace(self, lookup)
        return places


class SemanticPlace:
    """One input's place in the semantic cache.

    Args:
        front: The cache, and who answers.
        lookup: What came of looking the input up.
    """

    __slots__ = ("_front", "lookup", "output")

    def __init__(self, front: SemanticFront, lookup: Lookup) -> None:
        self._front = front
        self.lookup = lookup
        self.output: Any = None
        if lookup.hit is not None:
            policy = front.runner.policy
            decision = lookup.decision(policy.name, policy.version)
            self.output = front.runner.shape.revived(lookup.hit.entry.payload, decision)
            if self.output is None:
                lookup.notes.append("The stored answer could not be read: it is asked for anew.")
                lookup.hit = None

    @property
    def pending(self) -> bool:
        """Whether somebody else is answering the same just now."""
        return self.lookup.pending

    def stream(self) -> Iterator[Any]:
        """The output as a stream, as the models would have given it."""
        return self._front.runner.shape.replay(self.output)

    def told(self, decision: Decision) -> Decision:
        """The decision of a miss."""
        return self.lookup.told(decision)

    def settle(self, output: Any, decision: Decision) -> None:
        """Hand in what the models said."""
        self.lookup.settle(self._front.answered(output, decision))

    async def asettle(self, output: Any, decision: Decision) -> None:
        """As `settle`."""
        await self.lookup.asettle(self._front.answered(output, decision))

    def abandon(self) -> None:
        """Let go of what the lookup holds."""
        self.lookup.abandon()


def _temperature(tier: TierModel, given: Mapping[str, Any]) -> float | None:
    """The temperature an answer was sampled at, where one was set."""
    runnable: Runnable[Any, Any] = tier.client
    temperature = given.get("temperature")
    while temperature is None and isinstance(runnable, (RunnableBindingBase, RunnableSequence)):
        if isinstance(runnable, RunnableSequence):
            runnable = runnable.last
            continue
        temperature = runnable.kwargs.get("temperature")
        runnable = runnable.bound
    found = getattr(runnable, "temperature", None) if temperature is None else temperature
    return found if isinstance(found, (int, float)) else None
