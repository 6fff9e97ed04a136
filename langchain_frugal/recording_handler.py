"""`RecordingHandler`: records in production what chat models answer, for policies to be learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from frugal_core.learning.collecting import Collection
from frugal_core.types import Query
from langchain_frugal._convert import conversation, from_cache, system_prompt, to_answer


class RecordingHandler(BaseCallbackHandler):
    """Writes a row for every call of a chat model that it hears of, in the format that `record` writes.

    Give it to any program, in `config={"callbacks": [handler]}` or to a model or wrapper itself. In one that uses `ChatFrugal`
    it hears of every model asked, so that rejected drafts are recorded as well. The rows have no labels yet: `grade` the file,
    by agreement with a model or with right answers that you add as `reference`.

    Each query and model has one row, of the first answer; failed calls, answers from a cache and queries with images or files
    have none. Questions that a scorer asks a model about an answer are queries of their own. Models are named as their provider
    names them, so two with the same name are one. One process writes a file. If it cannot be written, a `FrugalWarning` says so
    once, and the program goes on.

    Args:
        path: The file, JSON lines; rows are added to those in it.
        dataset: Name of the rows' dataset; by default the file's name up to its first dot.
        prices: USD per million tokens by model name, over the packaged prices.

    Raises:
        ConfigurationError: `prices` is malformed.
        RecordingsError: The file cannot be used, or another process is writing it.

    >>> import tempfile
    >>> from frugal_core.learning import Recordings
    >>> from langchain_frugal import grade
    >>> from langchain_frugal.playground import ChatPlayground
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     handler = RecordingHandler(f"{folder}/answers.jsonl")
    ...     for name in ("playground-small", "playground-large"):
    ...         _ = ChatPlayground(model=name).invoke("What is 3 plus 4?", {"callbacks": [handler]})
    ...     handler.close()
    ...     graded = grade(f"{folder}/answers.jsonl", "numeric", reference_model="playground-large")
    ...     graded, Recordings.read([f"{folder}/answers.jsonl"])[0].models
    (2, ('playground-small', 'playground-large'))
    """

    def __init__(self, path: str | Path, *, dataset: str | None = None, prices: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._collection = Collection(path, dataset, prices)
        self._begun: dict[UUID, _Begun] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A call begins."""
        known = metadata or {}
        model = known.get("ls_model_name") or kwargs.get("name") or "unknown"
        self._begun[run_id] = _Begun(list(messages[0]), str(model), known.get("ls_provider"), perf_counter())

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """A call has brought an answer."""
        begun = self._begun.pop(run_id, None)
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        if begun is None or not isinstance(generation, ChatGeneration):
            return
        message = generation.message
        if not isinstance(message, AIMessage) or from_cache(message):
            return
        taken = perf_counter() - begun.since
        query = Query(conversation(begun.messages), (), system=system_prompt(begun.messages))
        self._collection.add(query, begun.model, begun.provider, lambda asked: to_answer(message, asked, 0, taken))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A call has failed, or its stream was left."""
        self._begun.pop(run_id, None)

    def close(self) -> None:
        """Let go of the file; answers after that are not kept."""
        self._collection.close()


@dataclass(frozen=True)
class _Begun:
    """A call under way."""

    messages: list[BaseMessage]
    model: str
    provider: str | None
    since: float
