"""The cache in front of a query engine: whose question it is, on which documents its answer rests, what becomes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import RESPONSE_TYPE, AsyncStreamingResponse, StreamingResponse
from llama_index.core.llms import LLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle

from frugal_core.cache.entry import Entry
from frugal_core.cache.lookup import Answered, Lookup
from frugal_core.cache.options import CacheOptions, current_options
from frugal_core.cache.question import LONGEST, Question, text_question
from frugal_core.cache.retrieval import Document, SameDocuments, SameVersion, Validator
from frugal_core.cache.semantic_cache import SemanticCache
from frugal_core.cache.storable import UNSERIALIZABLE, objection_to
from frugal_core.decision import Decision
from frugal_core.errors import ConfigurationError
from frugal_core.types import Answer
from llamaindex_frugal._cached import as_cache, temperature_of
from llamaindex_frugal._engine_responses import (
    ateed,
    read_engine_response,
    shaped,
    teed,
    was_streamed,
    write_engine_response,
)
from llamaindex_frugal._identity import OpaqueError, named, plain
from llamaindex_frugal.events import dispatch

Validation = Literal["retrieval", "version", "none"]
POLICY = "query_engine"
"""Name of the policy in decisions about engines' answers."""

_PASSING = frozenset({"callback_manager", "_node_ids", "object_map", "_object_map", "_verbose"})
"""Of a retriever, what does not say which documents it may find, or changes with every document that is inserted."""


class Engine(ABC):
    """A query engine as the cache needs it, for one query."""

    @abstractmethod
    def exactly(self) -> Sequence[Any]:
        """What must agree between two of its answers, as plain JSON data."""

    @abstractmethod
    def retrieve(self, bundle: QueryBundle) -> list[NodeWithScore]:
        """The nodes it would answer from."""

    @abstractmethod
    async def aretrieve(self, bundle: QueryBundle) -> list[NodeWithScore]:
        """As `retrieve`."""

    @abstractmethod
    def answer(self, bundle: QueryBundle, nodes: list[NodeWithScore] | None) -> RESPONSE_TYPE:
        """Its answer, from these nodes if they were retrieved already."""

    @abstractmethod
    async def aanswer(self, bundle: QueryBundle, nodes: list[NodeWithScore] | None) -> RESPONSE_TYPE:
        """As `answer`."""

    def objection(self, response: RESPONSE_TYPE) -> str | None:
        """Why an answer should not be kept."""
        return None

    @property
    @abstractmethod
    def synthesizer(self) -> Any:
        """What writes its answers, if it is known."""


class RetrievingEngine(Engine):
    """A `RetrieverQueryEngine`.

    Args:
        engine: It.
        retriever: Its retriever, as fresh as can be.
    """

    def __init__(self, engine: RetrieverQueryEngine, retriever: BaseRetriever) -> None:
        self._engine = engine
        self._retriever = retriever

    @property
    def synthesizer(self) -> Any:
        """Its own."""
        return self._engine._response_synthesizer

    def exactly(self) -> Sequence[Any]:
        """Prompts, model, postprocessors, and what the retriever is set to."""
        synthesizer = self.synthesizer
        own = synthesizer.get_prompts if synthesizer._get_prompt_modules() else synthesizer._get_prompts  # without deep copies
        prompts = {name: plain(prompt, named) for name, prompt in own().items()}
        after = [plain(each, named) for each in self._engine._node_postprocessors]
        return [named(type(synthesizer)), prompts, plain(synthesizer._llm, named), after, retriever_settings(self._retriever)]

    def retrieve(self, bundle: QueryBundle) -> list[NodeWithScore]:
        """As they are found: postprocessors may ask models."""
        return self._retriever.retrieve(bundle)

    async def aretrieve(self, bundle: QueryBundle) -> list[NodeWithScore]:
        """As `retrieve`."""
        return await self._retriever.aretrieve(bundle)

    def answer(self, bundle: QueryBundle, nodes: list[NodeWithScore] | None) -> RESPONSE_TYPE:
        """Postprocessed and synthesized."""
        found = self.retrieve(bundle) if nodes is None else nodes
        return self.synthesizer.synthesize(  # type: ignore[no-any-return]
            query=bundle, nodes=self._engine._apply_node_postprocessors(found, bundle)
        )

    async def aanswer(self, bundle: QueryBundle, nodes: list[NodeWithScore] | None) -> RESPONSE_TYPE:
        """As `answer`."""
        found = await self.aretrieve(bundle) if nodes is None else nodes
        after = await self._engine._async_apply_node_postprocessors(found, bundle)
        response: RESPONSE_TYPE = await self.synthesizer.asynthesize(query=bundle, nodes=after)
        return response

    def objection(self, response: RESPONSE_TYPE) -> str | None:
        """Without documents there is no answer."""
        return None if response.source_nodes else "empty"


class AnyEngine(Engine):
    """Any query engine. Where its answers are checked by retrieval, it retrieves once more when it answers.

    Args:
        engine: It.
    """

    def __init__(self, engine: BaseQueryEngine) -> None:
        self._engine = engine

    @property
    def synthesizer(self) -> Any:
        """Its own, where it has one."""
        return getattr(self._engine, "_response_synthesizer", None)

    def exactly(self) -> Sequence[Any]:
        """Its class and prompts, and its model if that is to be found."""
        prompts = {name: plain(prompt, named) for name, prompt in self._engine.get_prompts().items()}
        llm = getattr(self.synthesizer or self._engine, "_llm", None)
        return [named(type(self._engine)), prompts, plain(llm, named) if isinstance(llm, LLM) else None]

    def retrieve(self, bundle: QueryBundle) -> list[NodeWithScore]:
        """By its own method."""
        return self._engine.retrieve(bundle)

    async def aretrieve(self, bundle: QueryBundle) -> list[NodeWithScore]:
        """As `retrieve`."""
        found: list[NodeWithScore] = await self._engine.aretrieve(bundle)  # type: ignore[attr-defined]
        return found

    def answer(self, bundle: QueryBundle, nodes: list[NodeWithScore] | None) -> RESPONSE_TYPE:
        """As it answers."""
        return self._engine.query(bundle)

    async def aanswer(self, bundle: QueryBundle, nodes: list[NodeWithScore] | None) -> RESPONSE_TYPE:
        """As it answers."""
        return await self._engine.aquery(bundle)


class EngineCache:
    """Answers from the cache, or has the engine answer and keeps that.

    Args:
        cache: The cache, or its store's URL.
        validate: How a stored answer is checked before it answers.
        version: For `"version"`: what says which documents there are.
        namespace_fn: Whose a query is.
        name: Tells these answers from those of other engines that share the cache.

    Raises:
        ConfigurationError: An argument is out of range, missing, or contradicts another.
    """

    def __init__(
        self,
        cache: SemanticCache | str,
        validate: Validation,
        version: str | Callable[[], str] | None,
        namespace_fn: Callable[[QueryBundle], str] | None,
        name: str | None,
    ) -> None:
        if validate not in get_args(Validation):
            raise ConfigurationError(f'validate={validate!r} must be "retrieval", "version" or "none".')
        if (validate == "version") != (version is not None):
            raise ConfigurationError('version=… and validate="version" go together: give both, or neither.')
        if namespace_fn is not None and not callable(namespace_fn):
            raise ConfigurationError(f"namespace_fn={namespace_fn!r} must be a function (QueryBundle) -> str.")
        if validate != "retrieval" and not name:
            raise ConfigurationError(
                f'With validate="{validate}" nothing tells the answers of this engine from those of others in the cache: give '
                'name=…, such as "support-docs".'
            )
        self.cache = as_cache(cache)
        self.validate = validate
        self._version = None if version is None else SameVersion(version)
        self._namespace_fn = namespace_fn
        self._name = name

    def query(self, engine: Engine, bundle: QueryBundle) -> RESPONSE_TYPE:
        """Answer a query."""
        question, options = self._asked(engine, bundle)
        documents = Documents(engine, bundle)
        check = self._check(documents)
        reading = Reading(check, output_cls_of(engine.synthesizer))
        lookup = self.cache.lookup(question, options, valid=reading)
        if lookup.hit is not None:
            return self._hit(lookup, reading, engine, awaited=False)
        try:
            nodes = None
            if isinstance(check, SameDocuments) and not options.no_cache:
                nodes = documents.nodes(bundle.query_str)
                lookup.options = check.noted(lookup.options, documents(bundle.query_str))
            self._note_version(lookup)
            response = engine.answer(bundle, nodes)
            if isinstance(response, StreamingResponse):
                teed(response, lambda text: lookup.settle(self._answered(engine, response, text)), lookup.abandon)
            else:
                lookup.settle(self._answered(engine, response, None))
            return self._missed(lookup, response)
        finally:
            lookup.abandon()  # nobody waits for a stream, which may never be read

    async def aquery(self, engine: Engine, bundle: QueryBundle) -> RESPONSE_TYPE:
        """As `query`, awaited."""
        question, options = self._asked(engine, bundle)
        documents = Documents(engine, bundle)
        check = self._check(documents)
        reading = Reading(check, output_cls_of(engine.synthesizer))
        lookup = await self.cache.alookup(question, options, valid=reading)
        if lookup.hit is not None:
            return self._hit(lookup, reading, engine, awaited=True)
        try:
            nodes = None
            if isinstance(check, SameDocuments) and not options.no_cache:
                nodes = await documents.anodes(bundle.query_str)
                lookup.options = check.noted(lookup.options, await documents.acall(bundle.query_str))
            self._note_version(lookup)
            response = await engine.aanswer(bundle, nodes)
            if isinstance(response, AsyncStreamingResponse):
                ateed(response, lambda text: lookup.asettle(self._answered(engine, response, text)), lookup.abandon)
            elif isinstance(response, StreamingResponse):
                teed(response, lambda text: lookup.settle(self._answered(engine, response, text)), lookup.abandon)
            else:
                await lookup.asettle(self._answered(engine, response, None))
            return self._missed(lookup, response)
        finally:
            lookup.abandon()

    def _asked(self, engine: Engine, bundle: QueryBundle) -> tuple[Question, CacheOptions]:
        options = current_options()
        if options.no_cache:
            return text_question(bundle.query_str, semantic=False), options
        if self._namespace_fn is not None:
            options = replace(options, namespace=self._namespace_fn(bundle))
        else:
            options = replace(options, namespace=self.cache.namespace(options))
        besides = [bundle.custom_embedding_strs, bundle.image_path]
        plainly = not any(besides) and len(bundle.query_str) <= LONGEST
        exactly = [POLICY, self._name, *engine.exactly(), *(besides if any(besides) else ())]
        return text_question(bundle.query_str, *exactly, namespace=options.namespace or "", semantic=plainly), options

    def _check(self, documents: Documents) -> Validator | None:
        if self.validate == "retrieval":
            return SameDocuments(documents, documents.acall)
        return self._version

    def _note_version(self, lookup: Lookup) -> None:
        if self._version is not None:
            lookup.options = self._version.noted(lookup.options)

    def _hit(self, lookup: Lookup, reading: Reading, engine: Engine, *, awaited: bool) -> RESPONSE_TYPE:
        decision = lookup.decision(POLICY, self.validate)
        dispatch(decision)
        streams = getattr(engine.synthesizer, "_streaming", None)
        response = shaped(reading.response, streams=reading.streamed if streams is None else bool(streams), awaited=awaited)
        return _telling(response, decision)

    def _missed(self, lookup: Lookup, response: RESPONSE_TYPE) -> RESPONSE_TYPE:
        return _telling(response, lookup.told(Decision((), POLICY, self.validate, None, None)))

    def _answered(self, engine: Engine, response: RESPONSE_TYPE, text: str | None) -> Answered:
        written = write_engine_response(response, text)
        if written is None:
            return Answered("", "", UNSERIALIZABLE)
        temperature = highest_temperature(getattr(engine.synthesizer, "_llm", None))
        failed = written[0] == getattr(engine.synthesizer, "_empty_response", None)  # some swallow a model's error and say so
        objection = "empty" if failed else engine.objection(response)
        return Answered(*written, objection or objection_to(Answer(written[0]), temperature=temperature))


class Documents:
    """What an engine finds for a text, once for each text of a query.

    Args:
        engine: The engine.
        bundle: The query.
    """

    def __init__(self, engine: Engine, bundle: QueryBundle) -> None:
        self._engine = engine
        self._bundle = bundle
        self._found: dict[str, list[NodeWithScore]] = {}

    def __call__(self, text: str) -> list[Document]:
        """Identifiers and digests."""
        return _identified(self.nodes(text))

    async def acall(self, text: str) -> list[Document]:
        """As a call."""
        return _identified(await self.anodes(text))

    def nodes(self, text: str) -> list[NodeWithScore]:
        """The nodes."""
        if text not in self._found:
            self._found[text] = self._engine.retrieve(self._query(text))
        return self._found[text]

    async def anodes(self, text: str) -> list[NodeWithScore]:
        """As `nodes`."""
        if text not in self._found:
            self._found[text] = await self._engine.aretrieve(self._query(text))
        return self._found[text]

    def _query(self, text: str) -> QueryBundle:
        return self._bundle if text == self._bundle.query_str else QueryBundle(text)


class Reading(Validator):
    """Reads what is about to answer, and has it checked.

    Args:
        check: Who says whether it still holds.
        output_cls: The class of the engine's values, if it gives values.

    Attributes:
        response: What was read last.
        streamed: Whether that had been a stream.
    """

    def __init__(self, check: Validator | None, output_cls: type[Any] | None) -> None:
        self._check = check
        self._output_cls = output_cls
        self.response: Any = None
        self.streamed = False

    def valid(self, entry: Entry) -> bool:
        """Whether it can be read, and still holds."""
        return self._read(entry) and (self._check is None or self._check.valid(entry))

    async def avalid(self, entry: Entry) -> bool:
        """As `valid`."""
        return self._read(entry) and (self._check is None or await self._check.avalid(entry))

    def _read(self, entry: Entry) -> bool:
        self.response = read_engine_response(entry.payload, self._output_cls)
        self.streamed = self.response is not None and was_streamed(entry.payload)
        return self.response is not None


def retriever_settings(retriever: BaseRetriever) -> dict[str, Any]:
    """What a retriever is set to, such as its filters and how many documents it finds, and that of those inside it."""
    found: dict[str, Any] = {"class": named(type(retriever))}
    for name, value in vars(retriever).items():
        inner = [value] if isinstance(value, BaseRetriever) else value
        if isinstance(inner, list) and inner and all(isinstance(each, BaseRetriever) for each in inner):
            found[name] = [retriever_settings(each) for each in inner]
        elif name not in _PASSING:
            try:
                found[name] = plain(value)
            except OpaqueError:
                continue
    index = index_id(retriever)
    return found if index is None else {**found, "index": index}


def index_id(retriever: BaseRetriever) -> str | None:
    """The identifier of the index that a retriever searches, if it has one."""
    found = getattr(getattr(retriever, "_index", None), "index_id", None)
    return found if isinstance(found, str) else None


def output_cls_of(synthesizer: Any) -> type[Any] | None:
    """The class of the values that a synthesizer gives; `None` where it gives text."""
    llm = getattr(synthesizer, "_llm", None)
    found: type[Any] | None = llm.output_cls if isinstance(llm, StructuredLLM) else getattr(synthesizer, "_output_cls", None)
    return found


def highest_temperature(llm: Any) -> float | None:
    """The highest temperature that somebody has chosen for a model, or for one of those in a wrapper."""
    if not isinstance(llm, LLM):
        return None
    models = getattr(llm, "models", None)
    inner = [each for each in models if isinstance(each, LLM)] if isinstance(models, (list, tuple)) else []
    chosen = [temperature_of(llm, {}), *(highest_temperature(each) for each in inner)]
    return max((each for each in chosen if each is not None), default=None)


def _identified(nodes: Sequence[NodeWithScore]) -> list[Document]:
    return [(found.node.ref_doc_id or found.node.node_id, found.node.hash) for found in nodes]


def _telling(response: RESPONSE_TYPE, decision: Decision) -> RESPONSE_TYPE:
    """The response with its decision as `response.frugal`: its `metadata` is read by documents' ids."""
    told: Mapping[str, Any] = decision.to_dict()
    vars(response)["frugal"] = told
    return response
