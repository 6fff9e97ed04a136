"""`CachedChain`: a chain, such as one that answers from documents, behind the semantic cache."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import coerce_to_runnable

from frugal_core.cache import Answered, Lookup, SemanticCache, text_question
from frugal_core.cache.options import CacheOptions
from frugal_core.cache.question import Question
from frugal_core.cache.retrieval import SameDocuments, SameVersion, Validator
from frugal_core.cache.storable import UNSERIALIZABLE, objection_to
from frugal_core.errors import ConfigurationError
from frugal_core.types import Answer
from langchain_frugal._answered import answered
from langchain_frugal._cached import CALL_ARGUMENTS, options_for
from langchain_frugal._chain_payload import decoded, encoded, in_pieces, text_in
from langchain_frugal._convert import with_metadata
from langchain_frugal._llm_cache import cache_prompt
from langchain_frugal._tiers import identity_of

Validate = Literal["retrieval", "version", "none"]

EVENT = "frugal_cache"
"""Name of the custom event by which a hit tells its decision."""


class CachedChain(Runnable[Any, Any]):
    """Answers what a chain has answered before, for questions that are the same, or mean the same.

    Only the user's question is compared by likeness, never the prompt with the documents in it; all else that the chain is
    given must agree exactly. A stored answer is checked before it is served: with a retriever, it must still find the same
    documents for the stored question. Answers that do not hold any more are removed, and the chain is asked.

    Values that are served are new each time: texts, messages, documents, and lists and mappings of these. Messages carry the
    decision of a hit in `response_metadata["frugal"]`; every hit tells it in a custom event named `"frugal_cache"`.

    Args:
        chain: Any runnable. With a retriever it is given a mapping, with the documents in it.
        cache: A `SemanticCache`, or the URL of its store.
        question: Key of the input that holds the question, or a function of the input; an input that is a text is the question.
        retriever: Finds the documents for a question. It is asked once for an answer, and once to check one.
        documents: Key under which the chain is given the documents.
        validate: `"retrieval"`: the stored question must find the same documents; `"version"`: the version must be the same;
            `"none"`: no check. Default: the first of the other two for which there is what it needs.
        version: Version of what the chain knows, or a function that says it.
        identity: What tells the chain from others with the same store, such as a name with a number that changes with prompt
            or model. Default: its serialization; a chain with code in it is then like no other, and shares no answers with
            the next process.

    Raises:
        ConfigurationError: An argument is out of range, or what it needs is missing; or nothing says how answers are checked,
            not even `validate="none"`. A retriever inside the chain cannot be seen: take it out, and give it here.

    >>> from langchain_core.documents import Document
    >>> store = {"Opening hours?": [Document("We open at 9.")]}
    >>> chain = CachedChain(
    ...     lambda found: found["context"][0].page_content,
    ...     SemanticCache("memory://", embed=None),
    ...     retriever=lambda question: store[question],
    ... )
    >>> [chain.invoke("Opening hours?") for _ in range(2)], chain.cache.stats().exact_hits
    (['We open at 9.', 'We open at 9.'], 1)
    >>> store["Opening hours?"] = [Document("We open at 10.")]
    >>> chain.invoke("Opening hours?"), chain.cache.stats().stale
    ('We open at 10.', 1)
    """

    def __init__(
        self,
        chain: Any,
        cache: SemanticCache | str,
        *,
        question: str | Callable[[Any], str] = "question",
        retriever: Any = None,
        documents: str = "context",
        validate: Validate | None = None,
        version: str | Callable[[], str] | None = None,
        identity: str | None = None,
    ) -> None:
        if not isinstance(cache, (SemanticCache, str)):
            raise ConfigurationError(f"cache={cache!r} must be a SemanticCache, or the URL of its store: 'disk:.frugal'.")
        needs = {"retrieval": retriever, "version": version, "none": True}
        if validate is None:
            validate = "retrieval" if retriever is not None else "version" if version is not None else None
        if validate is None:
            raise ConfigurationError(
                "CachedChain cannot tell when an answer is out of date. Give retriever=… (taken out of the chain, which then "
                'is given the documents), or version=… of what the chain knows, or validate="none" if its answers never change.'
            )
        if validate not in needs:
            raise ConfigurationError(f'validate={validate!r} must be "retrieval", "version" or "none".')
        if needs[validate] is None:
            name = "retriever" if validate == "retrieval" else "version"
            raise ConfigurationError(f'validate="{validate}" needs {name}=…, by which stored answers are checked.')
        self.chain: Runnable[Any, Any] = coerce_to_runnable(chain)
        self.cache = SemanticCache(cache) if isinstance(cache, str) else cache
        self._retriever: Runnable[str, Any] | None = None if retriever is None else coerce_to_runnable(retriever)
        self._asked = question
        self._documents = documents
        self._validate = validate
        self._version = SameVersion(version) if validate == "version" and version is not None else None
        self._identity = identity or identity_of(self.chain, uuid.uuid4().hex)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer one input."""
        asked = {name: kwargs.pop(name) for name in CALL_ARGUMENTS if name in kwargs}

        def answer(input: Any, run_manager: Any, config: RunnableConfig) -> Any:
            lookup = self._lookup(input, config, asked)
            if lookup is not None and (output := self._hit(lookup)) is not None:
                dispatch_custom_event(EVENT, _told(lookup), config=config)
                return output[0]
            try:
                output = self.chain.invoke(self._given(input, lookup, config), config, **kwargs)
                if lookup is not None:
                    lookup.settle(_answered(output))
            finally:
                if lookup is not None:
                    lookup.abandon()
            return output

        return self._call_with_config(answer, input, config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer one input."""
        asked = {name: kwargs.pop(name) for name in CALL_ARGUMENTS if name in kwargs}

        async def answer(input: Any, run_manager: Any, config: RunnableConfig) -> Any:
            lookup = await self._alookup(input, config, asked)
            if lookup is not None and (output := self._hit(lookup)) is not None:
                await adispatch_custom_event(EVENT, _told(lookup), config=config)
                return output[0]
            try:
                output = await self.chain.ainvoke(await self._agiven(input, lookup, config), config, **kwargs)
                if lookup is not None:
                    await lookup.asettle(_answered(output))
            finally:
                if lookup is not None:
                    lookup.abandon()
            return output

        return await self._acall_with_config(answer, input, config)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Answer one input as a stream; kept only when it was whole."""
        asked = {name: kwargs.pop(name) for name in CALL_ARGUMENTS if name in kwargs}

        def answer(inputs: Iterator[Any], run_manager: Any, config: RunnableConfig) -> Iterator[Any]:
            (input,) = inputs
            lookup = self._lookup(input, config, asked)
            if lookup is not None and (output := self._hit(lookup)) is not None:
                dispatch_custom_event(EVENT, _told(lookup), config=config)
                yield from in_pieces(output[0])
                return
            whole = _Whole()
            try:
                for chunk in self.chain.stream(self._given(input, lookup, config), config, **kwargs):
                    whole.add(chunk)
                    yield chunk
                if lookup is not None:
                    lookup.settle(whole.answered())
            finally:
                if lookup is not None:
                    lookup.abandon()

        yield from self._transform_stream_with_config(iter([input]), answer, config)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """As `stream`."""
        asked = {name: kwargs.pop(name) for name in CALL_ARGUMENTS if name in kwargs}

        async def only() -> AsyncIterator[Any]:
            yield input

        async def answer(inputs: AsyncIterator[Any], run_manager: Any, config: RunnableConfig) -> AsyncIterator[Any]:
            (input,) = [each async for each in inputs]
            lookup = await self._alookup(input, config, asked)
            if lookup is not None and (output := self._hit(lookup)) is not None:
                await adispatch_custom_event(EVENT, _told(lookup), config=config)
                for piece in in_pieces(output[0]):
                    yield piece
                return
            whole = _Whole()
            try:
                async for chunk in self.chain.astream(await self._agiven(input, lookup, config), config, **kwargs):
                    whole.add(chunk)
                    yield chunk
                if lookup is not None:
                    await lookup.asettle(whole.answered())
            finally:
                if lookup is not None:
                    lookup.abandon()

        stream = cast("AsyncGenerator[Any, None]", self._atransform_stream_with_config(only(), answer, config))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    # --- the question, and what its answer rests on ---

    def _lookup(self, input: Any, config: RunnableConfig, asked: Mapping[str, Any]) -> Lookup | None:
        found = self._question(input, config, asked)
        return None if found is None else self.cache.lookup(*found, valid=self._validator(config))

    async def _alookup(self, input: Any, config: RunnableConfig, asked: Mapping[str, Any]) -> Lookup | None:
        found = self._question(input, config, asked)
        return None if found is None else await self.cache.alookup(*found, valid=self._validator(config))

    def _question(self, input: Any, config: RunnableConfig, asked: Mapping[str, Any]) -> tuple[Question, CacheOptions] | None:
        """An input as a question; `None` where it is none, asks to be left alone, or cannot be told from others."""
        options = options_for(config, asked)
        text = self._text(input)
        if options.no_cache or text is None:
            return None
        rest = {name: value for name, value in input.items() if name != self._asked} if isinstance(input, Mapping) else {}
        try:
            given = json.dumps(encoded(rest, cache_prompt), sort_keys=True)
        except TypeError:
            return None
        semantic = not any(map(_is_history, rest.values()))
        namespace = self.cache.namespace(options)
        if self._version is not None:  # as it is before the answer is made; it may raise, so before the lookup, too
            options = self._version.noted(options)
        return text_question(text, "langchain.chain", 1, self._identity, given, namespace=namespace, semantic=semantic), options

    def _text(self, input: Any) -> str | None:
        if not isinstance(self._asked, str):
            return self._asked(input)
        text = input.get(self._asked) if isinstance(input, Mapping) else input
        return text if isinstance(text, str) else None

    def _validator(self, config: RunnableConfig) -> Validator | None:
        """Who checks stored answers, within this run."""
        if self._validate != "retrieval" or self._retriever is None:
            return self._version
        retriever = self._retriever

        async def aretrieve(question: str) -> list[tuple[str, str]]:
            return _documents(await retriever.ainvoke(question, config))

        return SameDocuments(lambda question: _documents(retriever.invoke(question, config)), aretrieve)

    def _given(self, input: Any, lookup: Lookup | None, config: RunnableConfig) -> Any:
        """What the chain is given, with the documents if there is a retriever."""
        if self._retriever is None:
            return input
        return self._with_documents(input, lookup, self._retriever.invoke(self._needed(input), config))

    async def _agiven(self, input: Any, lookup: Lookup | None, config: RunnableConfig) -> Any:
        if self._retriever is None:
            return input
        return self._with_documents(input, lookup, await self._retriever.ainvoke(self._needed(input), config))

    def _needed(self, input: Any) -> str:
        text = self._text(input)
        if text is None:
            raise ConfigurationError(f"{input!r} has no question for the retriever: give question=…, its key or a function.")
        return text

    def _with_documents(self, input: Any, lookup: Lookup | None, documents: Any) -> Any:
        if lookup is not None:
            lookup.options = SameDocuments.noted(lookup.options, _documents(documents))
        name = self._asked if isinstance(self._asked, str) else "question"
        return {**(input if isinstance(input, Mapping) else {name: input}), self._documents: documents}

    def _hit(self, lookup: Lookup) -> tuple[Any] | None:
        """The output of a hit, which may be `None` itself; `None` where there is no hit, or it cannot be read."""
        if lookup.hit is None:
            return None
        try:
            output = decoded(json.loads(lookup.hit.entry.payload))
        except (ValueError, TypeError, KeyError):
            return None
        return (with_metadata(output, _told(lookup)) if isinstance(output, AIMessage) else output,)


class _Whole:
    """Adds up the chunks of a stream."""

    def __init__(self) -> None:
        self._whole: Any = None
        self._adds_up = True

    def add(self, chunk: Any) -> None:
        """One more."""
        if self._whole is None:
            self._whole = chunk
            return
        try:
            self._whole = self._whole + chunk
        except TypeError:  # values, of which the last is all there is to the caller, too
            self._adds_up = False

    def answered(self) -> Answered:
        """What came, as the cache takes it."""
        return _answered(self._whole) if self._adds_up else Answered("", "", UNSERIALIZABLE)


def _answered(output: Any) -> Answered:
    try:
        payload = json.dumps(encoded(output), ensure_ascii=False)
    except TypeError:
        payload = None
    if isinstance(output, AIMessage):
        return answered(output, payload, None)
    text = text_in(output)
    objection = objection_to(Answer(text)) or (None if payload else UNSERIALIZABLE)
    return Answered(text, payload or "", objection)


def _told(lookup: Lookup) -> dict[str, Any]:
    return lookup.decision("cache", "1").to_dict()


def _documents(found: Sequence[Any]) -> list[tuple[str, str]]:
    """Identifiers and texts of what a retriever found."""
    return [
        (str(each.id or each.metadata.get("source") or ""), each.page_content)
        if isinstance(each, Document)
        else ("", str(each))
        for each in found
    ]


def _is_history(value: Any) -> bool:
    """Whether a value is a conversation: what its next question means depends on it."""
    return isinstance(value, BaseMessage) or (isinstance(value, list) and any(isinstance(each, BaseMessage) for each in value))
