"""How many tokens a text is, for calls whose provider reports no usage and for prompts that may not fit.

Counts are tiktoken's where its vocabulary is at hand, and `ceil(UTF-8 bytes / 4)` where it is not. A vocabulary on this
machine's disk (tiktoken's cache, or the one that LlamaIndex ships) is loaded on first use, in about half a second. One
that must be downloaded never holds up a request: it is fetched once, in the background, and the estimate serves until
it has arrived. To have exact counts from the first call on, or without network, point `TIKTOKEN_CACHE_DIR` at a folder
that holds the vocabularies.

For models of other makers than OpenAI the count is an approximation in any case.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import logging
import math
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugal_core.model_names import split_provider
from frugal_core.types import Answer, Message, Query, Tier, ToolCall, Usage

if TYPE_CHECKING:
    import tiktoken

_logger = logging.getLogger(__name__)

_BYTES_PER_TOKEN = 4
_PER_MESSAGE = 4  # 3 that frame a message, and its role
_PRIMING = 3  # every reply is primed with <|start|>assistant<|message|>
_MOST_CHARACTERS = 400_000
_SLICE = 200
_LONG_RUN = re.compile(r"\S{1000}|\s{1000}")

_DEFAULT = "o200k_base"
_SAME_COUNT = {"o200k_harmony": "o200k_base", "p50k_edit": "p50k_base", "gpt2": "r50k_base"}  # but for specials
_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_DISK_PATIENCE_S = 10.0
_LOADING = threading.Lock()


def count_tokens(text: str, model: str | None = None) -> int:
    """Tokens of a text.

    Special tokens that a user wrote out ("<|endoftext|>") count as the plain text they are. Text in which a thousand
    characters follow one another without a space (or all are spaces) is counted in slices of 200 characters, because
    several versions of tiktoken take quadratic time over such a run. Of a text beyond 400,000 characters the rest is
    extrapolated.

    Args:
        text: Any text.
        model: Model name, with or without its provider; an unknown one is counted with `o200k_base`.

    >>> count_tokens("")
    0
    >>> count_tokens("Hello, world!") > 0
    True
    """
    if not text:
        return 0
    vocabulary = _vocabulary(_encoding_name(model)).encoding
    if vocabulary is None:
        return math.ceil(_bytes(text) / _BYTES_PER_TOKEN)
    head = text[:_MOST_CHARACTERS]
    if _LONG_RUN.search(head):
        parts = [head[start : start + _SLICE] for start in range(0, len(head), _SLICE)]
        counted = sum(len(vocabulary.encode_ordinary(part)) for part in parts)
    else:
        counted = len(vocabulary.encode_ordinary(head))
    return counted if len(head) == len(text) else math.ceil(counted * len(text) / len(head))


def count_messages(
    messages: Sequence[Message],
    system: str = "",
    tools: Sequence[Mapping[str, Any]] = (),
    model: str | None = None,
) -> int:
    """Input tokens of a conversation, after OpenAI's published formula.

    Per message 3 tokens and its role, and 3 that prime the reply. Tool definitions count as their JSON. Images, audio
    and files are not counted.

    Source:
        OpenAI Cookbook, "How to count tokens with tiktoken", section 6.

    >>> count_messages([]), count_messages([Message("user", "")])
    (3, 7)
    """
    return _PRIMING + sum(
        overhead + count_tokens(text, model) for overhead, text in _prompt_parts(messages, system, tools, None)
    )


def estimate_usage(query: Query, answer: Answer, model: str | None = None) -> Usage:
    """Usage of a call whose provider reported none, flagged `estimated`.

    Args:
        query: What was asked; its `prompt_tokens` is believed where known.
        answer: What came back. Where several samples were drawn, all count as output and the prompt counts once.
        model: Model name that chooses the tokenizer.
    """
    read = query.prompt_tokens
    if read is None:
        parts = _prompt_parts(query.messages, query.system, query.tools, query.response_format)
        read = _PRIMING + sum(overhead + count_tokens(text, model) for overhead, text in parts)
    written = sum(
        count_tokens(text, model)
        for sample in answer.samples or (answer,)
        for text in (sample.text, *map(_call_text, sample.tool_calls))
    )
    return Usage(read, written, estimated=True)


def estimated(answer: Answer, query: Query) -> Answer:
    """An answer whose provider reported no usage, with an estimated one and its cost by the tier's price."""
    about = query.tiers[answer.tier]
    usage = estimate_usage(query, answer, about.model)
    return replace(answer, usage=usage, cost_usd=None if about.price is None else about.price.cost(usage))


def fits(query: Query, tier: Tier) -> bool:
    """Whether a tier's context window takes the query; `True` where either is unknown.

    A prompt is tokenised only when it may be too long: no text has more tokens than UTF-8 bytes.
    """
    if tier.context_window is None:
        return True
    if query.prompt_tokens is not None:
        return query.prompt_tokens <= tier.context_window
    parts = list(_prompt_parts(query.messages, query.system, query.tools, query.response_format))
    if _PRIMING + sum(overhead + _bytes(text) for overhead, text in parts) <= tier.context_window:
        return True
    return _PRIMING + sum(overhead + count_tokens(text, tier.model) for overhead, text in parts) <= tier.context_window


def _prompt_parts(
    messages: Iterable[Message],
    system: str,
    tools: Iterable[Mapping[str, Any]],
    response_format: Mapping[str, Any] | None,
) -> Iterator[tuple[int, str]]:
    """Every text of a prompt, with the tokens that frame it."""
    if system:
        yield _PER_MESSAGE, system
    for message in messages:
        yield _PER_MESSAGE, message.text
        for call in message.tool_calls:
            yield 0, _call_text(call)
    for definition in tools:
        yield 0, _json(definition)
    if response_format is not None:
        yield 0, _json(response_format)


def _call_text(call: ToolCall) -> str:
    return call.name + _json(call.args)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), ensure_ascii=False, separators=(",", ":"), default=str)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@functools.lru_cache(maxsize=256)
def _encoding_name(model: str | None) -> str:
    """Name of the vocabulary of a model; a table look-up, no I/O."""
    from tiktoken.model import encoding_name_for_model

    with contextlib.suppress(KeyError):
        name = encoding_name_for_model(split_provider(model)[1] if model else "")
        return _SAME_COUNT.get(name, name)
    return _DEFAULT


class _Vocabulary:
    """A vocabulary that is loaded in a thread of its own; waited for only where it is on disk already."""

    def __init__(self, name: str) -> None:
        self.encoding: tiktoken.Encoding | None = None
        self._loaded = threading.Event()
        folder = _folder_of(name)
        threading.Thread(target=self._load, args=(name, folder), name=f"frugal-{name}", daemon=True).start()
        if folder is not None:
            self._loaded.wait(_DISK_PATIENCE_S)

    def _load(self, name: str, folder: str | None) -> None:
        try:
            import tiktoken

            with _cache_folder(folder):
                self.encoding = tiktoken.get_encoding(name)
        except Exception as error:  # Whatever a download can raise: the estimate goes on serving.
            _logger.info("tiktoken's %s cannot be had (%s); tokens are estimated from bytes.", name, error)
        finally:
            self._loaded.set()


@functools.cache
def _load_once(name: str) -> _Vocabulary:
    return _Vocabulary(name)


def _vocabulary(name: str) -> _Vocabulary:
    with _LOADING:
        return _load_once(name)


def _folder_of(name: str) -> str | None:
    """The folder that holds a vocabulary: tiktoken's own cache, or LlamaIndex's (which is found, not imported)."""
    file = hashlib.sha1(_ADDRESS.format(name).encode(), usedforsecurity=False).hexdigest()
    chosen = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    folders = [Path(tempfile.gettempdir(), "data-gym-cache") if chosen is None else Path(chosen)] if chosen != "" else []
    llama_index = importlib.util.find_spec("llama_index")
    roots = (llama_index.submodule_search_locations or ()) if llama_index else ()
    folders.extend(Path(root, "core", "_static", "tiktoken_cache") for root in roots)
    return next((str(folder) for folder in folders if (folder / file).is_file()), None)


@contextlib.contextmanager
def _cache_folder(folder: str | None) -> Iterator[None]:
    """Has tiktoken read from a folder while the block runs; its environment variable is the only way to tell it."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    if folder is None or folder == before:
        yield
        return
    os.environ["TIKTOKEN_CACHE_DIR"] = folder
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TIKTOKEN_CACHE_DIR", None)
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before
