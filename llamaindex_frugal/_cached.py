"""The cache as the first arm of a wrapper's policy: what it answers, no model is asked.

A question is settled or abandoned whatever becomes of it: answered, failed, cancelled, or closed as a stream that nobody reads
to its end. A streamed answer is kept before its last piece is handed out, and only then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms import LLM
from llama_index.core.llms.llm import default_completion_to_prompt

from frugal_core.cache.entry import Entry
from frugal_core.cache.lookup import Answered, Lookup
from frugal_core.cache.options import current_options, taken_options
from frugal_core.cache.question import Question, digest
from frugal_core.cache.retrieval import Validator
from frugal_core.cache.semantic_cache import SemanticCache
from frugal_core.cache.storable import UNSERIALIZABLE, objection_to
from frugal_core.cache.warming import Known, warm
from frugal_core.decision import Decision
from frugal_core.engine import aclosed, adrive, adrive_stream, closed, drive, drive_stream
from frugal_core.errors import ConfigurationError
from frugal_core.provider_logprobs import is_reasoning_model
from frugal_core.types import Query
from llamaindex_frugal._asking import Asking
from llamaindex_frugal._identity import LLMIdentity, OpaqueError
from llamaindex_frugal._payloads import write_response
from llamaindex_frugal._requests import ChatRequest, CompletionRequest, Request
from llamaindex_frugal._runner import Runner
from llamaindex_frugal._warming import Rows, known_answers
from llamaindex_frugal.events import dispatch

_AT_ONCE = 256


@dataclass(frozen=True)
class CachedRunner(Runner):
    """A runner that looks into a cache first.

    Attributes:
        cache: The cache.
    """

    cache: SemanticCache

    @property
    def heeds(self) -> bool:
        """A stream that was cut off must not be kept."""
        return True

    @cached_property
    def alike(self) -> bool:
        """Whether all models answer a text as they answer one message with that text."""
        plain = (None, default_completion_to_prompt)
        return all(tier.chats and tier.llm.completion_to_prompt in plain for tier in self.tiers)

    @cached_property
    def _identities(self) -> tuple[Callable[[], str], ...]:
        return tuple(LLMIdentity(tier.llm) for tier in self.tiers)

    @property
    def identity(self) -> str:
        """All that an answer depends on beside the request."""
        parts = (*(identity() for identity in self._identities), self.policy.version)
        if parts not in self._digests:
            self._digests[parts] = digest(parts, self.reference)
        return self._digests[parts]

    @cached_property
    def _digests(self) -> dict[tuple[str, ...], str]:
        return {}

    def prepare(self, request: Request) -> None:
        """Take note of the options, and whose the request is."""
        options = taken_options(request.given) if request.given else current_options()
        if not options.no_cache:
            namespace = self.cache.namespace(options)
            if namespace != (options.namespace or ""):
                options = replace(options, namespace=namespace)
        request.options = options

    def question(self, request: Request, query: Query) -> Question | None:
        """The request as the cache sees it; `None` for one that is not to be looked up."""
        options = request.options
        if options.no_cache:
            return None
        try:
            return request.question(
                query,
                identity=self.identity,
                namespace=options.namespace or "",
                max_turns=self.cache.max_turns,
                alike=self.alike,
            )
        except OpaqueError:
            return None

    # --- answering ---

    def answer(self, request: Request) -> Any:
        """Answer one request."""
        query = request.query(self.abouts, self.reference)
        question = self.question(request, query)
        if question is None:
            return super().answer(request)
        reading = Reading(request)
        lookup = self.cache.lookup(question, request.options, valid=reading)
        if lookup.hit is not None:
            return request.serve(reading.output, self._hit(lookup))
        try:
            request.pace()
            asking = Asking(self, request, query)
            decision = lookup.told(drive(asking.flow, asking.perform))
            self._tell(asking, decision, request)
            lookup.settle(self._answered(request, decision))
            return request.serve(decision.answer.raw, decision.to_dict())
        finally:
            lookup.abandon()

    async def aanswer(self, request: Request) -> Any:
        """Answer one request, awaiting cache and tiers."""
        query = request.query(self.abouts, self.reference)
        question = self.question(request, query)
        if question is None:
            return await super().aanswer(request)
        reading = Reading(request)
        lookup = await self.cache.alookup(question, request.options, valid=reading)
        if lookup.hit is not None:
            return request.serve(reading.output, self._hit(lookup))
        try:
            await request.apace()
            asking = Asking(self, request, query)
            decision = lookup.told(await adrive(asking.flow, asking.aperform))
            self._tell(asking, decision, request, awaited=True)
            await lookup.asettle(self._answered(request, decision))
            return request.serve(decision.answer.raw, decision.to_dict())
        finally:
            lookup.abandon()

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer one request as a stream; a hit in some pieces."""
        query = request.query(self.abouts, self.reference)
        question = self.question(request, query)
        if question is None:
            yield from super().stream(request)
            return
        reading = Reading(request)
        lookup = self.cache.lookup(question, request.options, valid=reading)
        if lookup.hit is not None:
            yield from request.replayed(reading.output, self._hit(lookup))
            return
        try:
            request.pace()
            asking = Asking(self, request, query)
            with closed(drive_stream(asking.flow, asking.perform, asking.stream)) as items:
                for item in items:
                    if not isinstance(item, Decision):
                        yield item
                        continue
                    decision = lookup.told(item)
                    lookup.settle(self._answered(request, decision))
                    if (last := self._last(asking, request, decision)) is not None:
                        yield last
        finally:
            lookup.abandon()

    async def astream(self, request: Request) -> AsyncIterator[Any]:
        """As `stream`, awaiting cache and tiers."""
        query = request.query(self.abouts, self.reference)
        question = self.question(request, query)
        if question is None:
            async with aclosed(super().astream(request)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        reading = Reading(request)
        lookup = await self.cache.alookup(question, request.options, valid=reading)
        if lookup.hit is not None:
            for piece in request.replayed(reading.output, self._hit(lookup)):
                yield piece
            return
        try:
            await request.apace()
            asking = Asking(self, request, query)
            async with aclosed(adrive_stream(asking.flow, asking.aperform, asking.astream)) as items:
                async for item in items:
                    if not isinstance(item, Decision):
                        yield item
                        continue
                    decision = lookup.told(item)
                    await lookup.asettle(self._answered(request, decision))
                    if (last := self._last(asking, request, decision, awaited=True)) is not None:
                        yield last
        finally:
            lookup.abandon()

    # --- filling ---

    def warm(self, rows: Rows, *, chats: bool) -> int:
        """Keep answers that are known beforehand, as if models had given them; see `FrugalLLM.warm_cache`.

        Args:
            rows: Conversations with their answers.
            chats: Whether they are to be asked as messages; else one by one as prompts.
        """

        def known(row: tuple[list[ChatMessage], str]) -> Known | None:
            messages, answer = row
            request = self._known(messages, chats=chats)
            question = self.question(request, request.query(self.abouts, self.reference))
            response = ChatResponse(message=ChatMessage(answer, role=MessageRole.ASSISTANT))
            answered = Answered(answer, write_response(response, None) or "")
            return None if question is None else (question, request.options, answered)

        return warm(self.cache, known_answers(rows), known)

    def _known(self, messages: list[ChatMessage], *, chats: bool) -> Request:
        single = len(messages) == 1 and not chats
        request: Request = CompletionRequest(messages[0].content or "", False, {}) if single else ChatRequest(messages, {})
        self.prepare(request)
        return request

    # --- shared ---

    def _hit(self, lookup: Lookup) -> dict[str, Any]:
        decision = lookup.decision(self.policy.name, self.policy.version)
        dispatch(decision)
        return decision.to_dict()

    def _answered(self, request: Request, decision: Decision) -> Answered:
        """An answer as the cache takes it."""
        answer = decision.answer
        text, payload = request.written(answer.raw, decision.tier) or (answer.text, "")
        tier = self.by_name.get(decision.tier or "")
        temperature = None if tier is None else temperature_of(tier.llm, request.given)
        objection = objection_to(answer, decision, temperature)
        return Answered(
            text,
            payload,
            objection or (None if payload else UNSERIALIZABLE),
            semantic=not answer.tool_calls or request.typed,
            cost_usd=decision.cost_usd,
            baseline_cost_usd=decision.baseline_cost_usd,
        )


class Reading(Validator):
    """Reads what is about to answer; an entry that cannot be read, or is no value of the class any more, does not.

    Args:
        request: What is asked for.

    Attributes:
        output: What was read last.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.output: Any = None

    def valid(self, entry: Entry) -> bool:
        """Whether it can be read."""
        self.output = self._request.recalled(entry.payload)
        return self.output is not None

    async def avalid(self, entry: Entry) -> bool:
        """As `valid`: there is nothing to wait for."""
        return self.valid(entry)


def temperature_of(llm: LLM, given: Mapping[str, Any]) -> float | None:
    """The temperature at which a model answers, where somebody has chosen it.

    The value that an integration has of itself is nobody's wish for variety (LlamaIndex's OpenAI has 0.1), nor is the only one
    that a reasoning model takes.

    Args:
        llm: The model.
        given: Call arguments.
    """
    extra = getattr(llm, "additional_kwargs", None) or {}
    for source in (given, extra if isinstance(extra, Mapping) else {}):
        if isinstance(chosen := source.get("temperature"), (int, float)):
            return float(chosen)
    value = getattr(llm, "temperature", None)
    field = type(llm).model_fields.get("temperature")
    if not isinstance(value, (int, float)) or (field is not None and value == field.default):
        return None
    return None if is_reasoning_model(llm.metadata.model_name or "") else float(value)


def as_cache(given: Any) -> SemanticCache:
    """The cache for what a user gave.

    Raises:
        ConfigurationError: It is neither a cache nor a store's URL.
    """
    if isinstance(given, SemanticCache):
        return given
    if isinstance(given, str):
        return SemanticCache(given)
    raise ConfigurationError(
        f"cache={given!r} is no cache: give a SemanticCache, or the URL of a store such as 'memory://' or 'disk:.frugal'."
    )
