"""What a user wants recorded, query by query: named, on one side of the split, with the right answer where one is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from frugal_core.arguments import shown
from frugal_core.errors import ConfigurationError
from frugal_core.types import Query

KEPT = frozenset(
    (
        *(
            "model",
            "answer",
            "correct",
            "label",
            "label_error",
            "finish_reason",
            "error",
            "logprobs",
            "scorers",
            "samples",
            "sample",
        ),
        *("prompt_tokens", "completion_tokens", "tokens_estimated", "cost_usd", "cost_answer_usd", "latency_s"),
    )
)
"""Columns that recording writes itself."""

_OWN = ("query", "query_id", "reference", "split", "dataset")
_SPLITS = ("train", "test")


@dataclass(frozen=True)
class Item:
    """One query to record.

    Attributes:
        dataset: Name of its dataset.
        query_id: Its name there.
        split: `"train"` or `"test"`.
        query: As policies see it.
        given: As the user gave it, in the framework's form.
        text: All that is asked, as text.
        reference: The right answer; `None` where not known.
        extra: Further columns for its rows.
        chosen: Whether the user chose the split.
    """

    dataset: str
    query_id: str
    split: str
    query: Query
    given: Any
    text: str
    reference: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    chosen: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What no other item has."""
        return self.dataset, self.query_id


def items(
    queries: Iterable[Any], dataset: str, read: Callable[[Any], Query], *, train_share: float = 0.5, kept: Iterable[str] = ()
) -> list[Item]:
    """Queries as items. The same text twice is one item.

    Args:
        queries: Texts, conversations in the framework's form, or dicts with `query` (one of these) and what there is of
            `query_id`, `reference`, `split`, `dataset` and any further columns.
        dataset: Name of the dataset of those that name none.
        read: Makes the core's query of what the framework takes.
        train_share: Share of the queries whose split is "train" where the user has not said; by a hash of the id.
        kept: Further columns that no query may bring.

    Raises:
        ConfigurationError: There are none, or one cannot be used; the message says which.
    """
    found: dict[tuple[str, str], Item] = {}
    for item in each(queries, dataset, read, train_share=train_share, reserved=KEPT | set(kept)):
        found.setdefault(item.key, item)
    return list(found.values())


def each(
    queries: Iterable[Any],
    dataset: str,
    read: Callable[[Any], Query],
    *,
    train_share: float = 0.5,
    reserved: Set[str] = frozenset(),
    called: str = "queries",
) -> list[Item]:
    """One item for each query, in order; the same text twice is the same item twice.

    Args:
        queries: As for `items`.
        dataset: As for `items`.
        read: As for `items`.
        train_share: As for `items`.
        reserved: Columns that no query may bring.
        called: What the user calls the list.

    Raises:
        ConfigurationError: There are none, or one cannot be used; the message says which.
    """
    if isinstance(queries, (str, bytes, Mapping)):
        raise ConfigurationError(f"{called}={shown(queries)} must be a list of queries, such as ['What is 1 + 1?'].")
    if isinstance(train_share, bool) or not isinstance(train_share, (int, float)) or not 0 <= train_share <= 1:
        raise ConfigurationError(f"train_share={train_share!r} is out of range: give a number from 0 to 1.")
    found: dict[tuple[str, str], Item] = {}
    listed = []
    for number, given in enumerate(queries):
        place = f"{called}[{number}]"
        item = _item(place, given, dataset, read, train_share, reserved)
        other = found.setdefault(item.key, item)
        if other.text != item.text or other.reference != item.reference:
            raise ConfigurationError(
                f"{place}: has the same query_id {item.query_id!r} as one before it, but another text or reference. "
                "Give each its own query_id."
            )
        listed.append(other)
    if not listed:
        raise ConfigurationError(f"{called} is empty: give at least one.")
    return listed


def split_of(query_id: str, train_share: float = 0.5) -> str:
    """Side of a query by a hash of its id: the same on every machine, for ever.

    >>> [split_of(name) for name in ("q1", "q2", "q3", "q4")]
    ['test', 'test', 'train', 'train']
    """
    digest = hashlib.sha256(query_id.encode("utf-8", "backslashreplace")).hexdigest()
    return "train" if int(digest[:8], 16) < train_share * 16**8 else "test"


def id_of(text: str) -> str:
    """Name of a query that the user has given none: a hash of its text.

    >>> id_of("What is 1 + 1?")
    '72f8917549de2d6d'
    """
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def written(query: Query) -> str:
    """All that a query asks, as text: of a single question its words, of a conversation every turn with its speaker."""
    turns = [("system", query.system)] if query.system else []
    turns += [
        (message.role, " ".join([message.text, *(f"{call.name}({dict(call.args)})" for call in message.tool_calls)]))
        for message in query.messages
    ]
    if len(turns) == 1 and turns[0][0] == "user":
        return turns[0][1]
    return "\n\n".join(f"{role}: {text}" for role, text in turns)


def _item(place: str, given: Any, dataset: str, read: Callable[[Any], Query], train_share: float, reserved: Set[str]) -> Item:
    fields: Mapping[str, Any] = given if isinstance(given, Mapping) else {"query": given}
    if fields.get("query") is None:
        raise ConfigurationError(f"{place}: has no 'query'; it has {', '.join(map(str, fields)) or 'nothing'}.")
    asked = fields["query"]
    try:
        query = read(asked)
        text = written(query)
    except Exception as error:
        raise ConfigurationError(f"{place}: cannot be read as a query ({error}).") from error
    if not text.strip():
        raise ConfigurationError(f"{place}: is empty.")
    name = fields.get("query_id")
    if name is None and any(message.has_media for message in query.messages):
        raise ConfigurationError(f"{place}: has images or files, which tell it apart from others: give it a 'query_id'.")
    query_id = _text(name, place, "query_id") or id_of(text)
    split = fields.get("split")
    if split is not None and split not in _SPLITS:
        raise ConfigurationError(f'{place}: split is {split!r}; it must be "train" or "test", or left out.')
    extra = {str(column): value for column, value in fields.items() if column not in _OWN}
    clash = sorted(reserved & extra.keys())
    if clash:
        raise ConfigurationError(f"{place}: has a column {clash[0]!r}, which recording writes itself. Give it another name.")
    return Item(
        _text(fields.get("dataset"), place, "dataset") or dataset,
        query_id,
        split or split_of(query_id, train_share),
        query,
        asked,
        text,
        _text(fields.get("reference"), place, "reference"),
        extra,
        chosen=split is not None,
    )


def _text(value: Any, place: str, name: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value):
        return str(value)
    raise ConfigurationError(f"{place}: {name} is {shown(value)}; it must be a text that is not empty, or a number.")
