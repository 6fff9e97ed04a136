"""What a call costs: public prices as data, the user's own prices over them, and an honest "unknown" for the rest.

The packaged prices and how to renew them: `frugal_core.price_tables`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frugal_core.errors import ConfigurationError
from frugal_core.model_names import canonical_provider, floating, maker, spellings, split_provider, undated
from frugal_core.types import Usage

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Price:
    """A model's list price.

    It is the base price of text. Surcharges for very long prompts, discounts for batches, writing to a prompt cache,
    images and audio are not in it.

    Attributes:
        input: USD per 1M input tokens.
        output: USD per 1M output tokens.
        cached_input: USD per 1M input tokens that the provider read from its prompt cache; `None` charges them like
            others.
        request: USD per request, on top.
        source: Where the price is from.
        as_of: When it was read there, as an ISO date.

    Raises:
        ConfigurationError: A price is negative or not a finite number.

    >>> Price(2.5, 10.0, cached_input=1.25).cost(Usage(1_000_000, 100_000, cached_input_tokens=400_000))
    3.0
    """

    input: float
    output: float
    cached_input: float | None = None
    request: float = 0.0
    source: str = ""
    as_of: str = ""

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "request"):
            value = getattr(self, name)
            if value is None and name == "cached_input":
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
                raise ConfigurationError(f"Price.{name} must be a finite number of USD >= 0, got {value!r}.")

    def cost(self, usage: Usage) -> float:
        """USD for one request of these tokens."""
        cached = usage.cached_input_tokens
        if cached and self.cached_input is not None:
            read = self.input * (usage.input_tokens - cached) + self.cached_input * cached
        else:
            read = self.input * usage.input_tokens
        return (read + self.output * usage.output_tokens) * 1e-6 + self.request


@dataclass(frozen=True, slots=True)
class Listing:
    """What a table says of one model.

    Attributes:
        price: Its price.
        context: The most input tokens it takes; `None` when the table does not say.
    """

    price: Price
    context: int | None = None


class PriceBook:
    """Prices and context windows by provider and model name.

    A book never changes after construction (`override` returns another), so it may be shared between threads.

    A name is looked up as it is, then without its route, region or fine-tuning job, then without its date; see
    `frugal_core.model_names`. With a provider, only that provider's rows count. Without one, the prefix of the name
    decides (`"azure/gpt-4o"`), else the model maker's own row, else the price on which all who sell it agree. What
    cannot be told is `None`, "unknown", never zero: models that run locally (Ollama, llama.cpp, ...) are unknown until
    the user prices them.

    Args:
        listings: Listing by canonical provider and lower-case model name.

    >>> book = PriceBook.default()
    >>> book.price("gpt-4o-2024-08-06").output, book.context_window("openai:gpt-4o")
    (10.0, 128000)
    >>> book.price("llama3", provider="ollama") is None
    True
    >>> mine = book.override({"llama3": (0, 0), "my-deployment": "gpt-4o"})
    >>> mine.price("llama3", "ollama").input, mine.price("my-deployment", "azure").input
    (0, 2.5)
    """

    __slots__ = ("_listed", "_own")

    def __init__(self, listings: Mapping[tuple[str, str], Listing]) -> None:
        self._listed = _Listed(listings)
        self._own: Mapping[str, Price | str] = {}

    @classmethod
    def default(cls) -> PriceBook:
        """The book of the packaged tables, read on first use and kept."""
        return _default_book()

    @classmethod
    def from_litellm(cls, source: Path | str | Mapping[str, Any], *, as_of: str = "") -> PriceBook:
        """A book from LiteLLM's `model_prices_and_context_window.json`.

        Only text models with a price per token are taken over. Rows priced zero are left out as well: they stand for
        local models and subscriptions, whose cost is unknown rather than nothing.

        Args:
            source: Path of the file, or its parsed content.
            as_of: ISO date of the list.

        Raises:
            ConfigurationError: The file cannot be read, is no JSON object of objects, has a price that is no number,
                or no price at all.

        >>> entry = {"litellm_provider": "acme", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
        >>> PriceBook.from_litellm({"acme/one": entry}).price("one", "acme").output
        2.0
        """
        from frugal_core.price_tables import read_litellm

        return cls(read_litellm(source, as_of=as_of))

    def override(self, prices: Mapping[str, Price | tuple[float, float] | str]) -> PriceBook:
        """A book in which these prices win over everything else.

        Args:
            prices: By model or deployment name, optionally with its provider (`"azure/chat-prod"`): a `Price`, the
                pair `(input, output)` in USD per 1M tokens, or the name of a known model that is priced alike. An
                undated name holds for its dated variants too, except where one is named itself.

        Returns:
            A new book; earlier overrides stay unless named again.

        Raises:
            ConfigurationError: A value is none of these, or stands for a model that nobody lists.
        """
        book = PriceBook.__new__(PriceBook)
        book._listed = self._listed
        book._own = {**self._own, **{_own_key(name): _own_value(name, value) for name, value in prices.items()}}
        for name, value in prices.items():
            if isinstance(value, str):
                book._check_alias(name, value)
        return book

    def price(self, model: str | None, provider: str | None = None) -> Price | None:
        """List price of a model.

        Args:
            model: Its name, as the user or the provider wrote it.
            provider: Who serves it, in any common spelling; `None` when unknown.

        Returns:
            The price; `None` when it is unknown. `unknown_price_hint` says what to do then.
        """
        own, model, provider = self._resolve(model, provider)
        if own is not None:
            return own
        listing = self._listed.find(model, provider)
        return listing.price if listing else None

    def context_window(self, model: str | None, provider: str | None = None) -> int | None:
        """Most input tokens that a model takes; `None` when unknown. Arguments as for `price`."""
        _, model, provider = self._resolve(model, provider)
        listing = self._listed.find(model, provider)
        return listing.context if listing else None

    def __len__(self) -> int:
        return len(self._listed.rows) + len(self._own)

    def __repr__(self) -> str:
        return f"PriceBook({len(self._listed.rows)} listed, {len(self._own)} own)"

    def _resolve(self, model: str | None, provider: str | None) -> tuple[Price | None, str, str | None]:
        """The user's own price if there is one, and what to look up otherwise, each alias followed at most once."""
        model = (model or "").strip()
        used: set[str] = set()
        pinned = False
        while key := self._own_entry(model, provider, used):
            own = self._own[key]
            if isinstance(own, Price):
                return own, model, provider
            used.add(key)
            prefix, name = split_provider(own)
            pinned = prefix is not None
            model, provider = (name, prefix) if prefix else (own, provider)
        if used and not pinned and self._listed.find(model, provider) is None:
            provider = None  # "my-deployment" at a gateway that no table knows is priced like the model at its maker's.
        return None, model, provider

    def _own_entry(self, model: str, provider: str | None, used: set[str]) -> str | None:
        """Key of the user's entry for a model, the nearest spelling first."""
        if not self._own or not model:
            return None
        seller, name = _seller_and_name(model, provider)
        names = (model.lower(), *spellings(name))
        for candidate in (*names, *(family for spelling in names for family in undated(spelling))):
            home = seller or maker(candidate)
            for key in (f"{home}/{candidate}", candidate, _own_key(candidate)):
                if key in self._own and key not in used:
                    return key
        return None

    def _check_alias(self, name: str, target: str) -> None:
        own, model, provider = self._resolve(name, None)
        listed = self._listed.find(model, provider) or (provider is None and self._listed.has(model))
        if own is None and not listed:
            raise ConfigurationError(
                f"prices[{name!r}] stands for {target!r}, which is not in the price table. "
                f'Give USD per 1M tokens instead: prices={{"{name}": (input, output)}}.'
            )


def unknown_price_hint(model: str | None, provider: str | None = None) -> str:
    """What to tell a user whose model has no known price: the model, what it means, and the argument that mends it.

    >>> print(unknown_price_hint("my-model", "ollama").splitlines()[0])
    No price is known for model 'my-model' of provider 'ollama': its cost is reported as unknown (None), not as $0.
    """
    name = model or "<model name>"
    of = f" of provider {provider!r}" if provider else ""
    return (
        f"No price is known for model {name!r}{of}: its cost is reported as unknown (None), not as $0.\n"
        f'Pass prices={{"{name}": (input, output)}} in USD per 1M tokens, prices={{"{name}": "gpt-4o"}} if it is '
        f'priced like a listed model, or prices={{"{name}": (0, 0)}} if it really costs nothing.'
    )


class _Listed:
    """The rows of the tables, found by any spelling."""

    __slots__ = ("_families", "_sellers", "rows")

    def __init__(self, rows: Mapping[tuple[str, str], Listing]) -> None:
        self.rows = dict(rows)
        self._sellers: dict[str, list[str]] = {}
        families: dict[tuple[str, str], list[Listing]] = {}
        for (provider, name), row in self.rows.items():
            self._sellers.setdefault(name, []).append(provider)
            for family in undated(name):
                families.setdefault((provider, family), []).append(row)
        common = {key: _common(members) for key, members in families.items()}
        self._families = {key: row for key, row in common.items() if row is not None}

    def has(self, model: str) -> bool:
        """Whether anybody sells a model of this very name."""
        return any(name in self._sellers for name in spellings(model))

    def find(self, model: str, provider: str | None) -> Listing | None:
        seller, name = _seller_and_name(model, provider)
        names = spellings(name) if name == model else (*spellings(name), model.lower())
        for one in (seller,) if seller else (maker(names[-1]), None):
            for look_up in (self._exact, self._undated):
                for spelling in names:
                    if row := look_up(spelling, one):
                        return row
        if provider is None and seller:  # An aggregator's name: OpenRouter writes "anthropic/claude-3.5-sonnet".
            return self._exact(model.lower(), None)
        return None

    def _exact(self, name: str, seller: str | None) -> Listing | None:
        if seller:
            return self.rows.get((seller, name))
        return _common([self.rows[one, name] for one in self._sellers.get(name, ())])

    def _undated(self, name: str, seller: str | None) -> Listing | None:
        for family in undated(name):
            if row := self._exact(family, seller):
                return row
        return self._families.get((seller, floating(name))) if seller else None


def _common(rows: Sequence[Listing]) -> Listing | None:
    """The price on which all rows agree, with the smallest of their context windows; `None` when they differ."""
    terms = {(row.price.input, row.price.output, row.price.cached_input, row.price.request) for row in rows}
    if len(terms) != 1:
        return None
    return Listing(rows[0].price, min((row.context for row in rows if row.context is not None), default=None))


def _seller_and_name(model: str, provider: str | None) -> tuple[str | None, str]:
    """Canonical provider and the name it goes by there; a prefix is taken off only when it names that same provider."""
    seller = canonical_provider(provider)
    prefix, name = split_provider(model)
    return (prefix, name) if prefix and seller in (None, prefix) else (seller, model)


def _own_key(name: str) -> str:
    prefix, rest = split_provider(name.strip().lower())
    return f"{prefix}/{rest}" if prefix else rest


def _own_value(name: str, value: object) -> Price | str:
    if isinstance(value, Price):
        return value
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return Price(value[0], value[1], source="user")
    raise ConfigurationError(
        f"prices[{name!r}] is {value!r}. Give a Price, a pair (input, output) in USD per 1M tokens, or a listed model's name."
    )


@functools.cache
def _default_book() -> PriceBook:
    from frugal_core.price_tables import read_packaged

    return PriceBook(read_packaged())
