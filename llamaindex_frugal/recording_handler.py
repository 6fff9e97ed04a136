"""`RecordingHandler`: records in production what LLMs answer, for policies to be learned from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)

from frugal_core.learning.collecting import Collection
from frugal_core.types import Message, Query
from llamaindex_frugal._convert import conversation, system_prompt, to_answer

_MOST_BEGUN = 4096


class RecordingHandler(BaseEventHandler):
    """Writes a row for every call of an LLM that it hears of, in the format that `record` writes.

    Add it to LlamaIndex's dispatcher. In a program that uses `FrugalLLM` it hears of every model asked, so that rejected drafts
    are recorded as well. The rows have no labels yet: `grade` the file, by agreement with a model or with right answers that
    you add as `reference`.

    Each query and model has one row, of the first answer; failed calls and queries with images or files have none. Questions
    that a scorer asks a model about an answer are queries of their own, and so are the calls of audits. Models are named as
    their integration names them, so two with the same name are one. One process writes a file. If it cannot be written, a
    `FrugalWarning` says so once, and the program goes on.

    Args:
        path: The file, JSON lines; rows are added to those in it.
        dataset: Name of the rows' dataset; by default the file's name up to its first dot.
        prices: USD per million tokens by model name, over the packaged prices.

    Raises:
        ConfigurationError: `prices` is malformed.
        RecordingsError: The file cannot be used, or another process is writing it.

    >>> import tempfile
    >>> from llama_index.core.instrumentation import get_dispatcher
    >>> from llamaindex_frugal.playground import PlaygroundLLM
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     handler = RecordingHandler(f"{folder}/answers.jsonl")
    ...     get_dispatcher().add_event_handler(handler)
    ...     for name in ("playground-small", "playground-large"):
    ...         _ = PlaygroundLLM(model=name).complete("What is 3 plus 4?")
    ...     get_dispatcher().event_handlers.remove(handler)
    ...     handler.close()
    ...     Path(f"{folder}/answers.jsonl").read_text().count("3 plus 4")
    2
    """

    _collection: Collection = PrivateAttr()
    _begun: OrderedDict[Any, tuple[str, float]] = PrivateAttr(default_factory=OrderedDict)
    _lock: Any = PrivateAttr(default_factory=Lock)

    def __init__(self, path: str | Path, *, dataset: str | None = None, prices: Mapping[str, Any] | None = None) -> None:
        """Open the file; see the class."""
        super().__init__()
        self._collection = Collection(path, dataset, prices)

    @classmethod
    def class_name(cls) -> str:
        """Name of the handler."""
        return "FrugalRecordingHandler"

    def handle(self, event: Any, **kwargs: Any) -> None:
        """Keep what a call that ends has brought."""
        if isinstance(event, (LLMChatStartEvent, LLMCompletionStartEvent)):
            self._begin(event)
        elif isinstance(event, LLMChatEndEvent):
            messages = event.messages
            self._end(event, Query(conversation(messages), (), system=system_prompt(messages)))
        elif isinstance(event, LLMCompletionEndEvent):
            self._end(event, Query((Message("user", event.prompt),), ()))

    def close(self) -> None:
        """Let go of the file; answers after that are not kept."""
        self._collection.close()

    def _begin(self, event: LLMChatStartEvent | LLMCompletionStartEvent) -> None:
        about = event.model_dict
        name = about.get("model_name") or about.get("model") or about.get("class_name") or "unknown"
        with self._lock:
            self._begun[event.span_id] = str(name), perf_counter()
            while len(self._begun) > _MOST_BEGUN:  # calls that failed, whose end nobody tells
                self._begun.popitem(last=False)

    def _end(self, event: LLMChatEndEvent | LLMCompletionEndEvent, query: Query) -> None:
        response = event.response
        with self._lock:
            name, since = self._begun.pop(event.span_id, (None, 0.0))
        if name is None or response is None:
            return
        taken = perf_counter() - since
        self._collection.add(query, name, None, lambda asked: to_answer(response, asked, 0, taken))
