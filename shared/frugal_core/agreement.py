"""Whether two answers say the same: as written, apart from form, or by their numbers.

These are for scorers that compare a model's answers with each other, and for labels that compare them with a reference's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from frugal_core.errors import ConfigurationError
from frugal_core.types import Answer

SameText: TypeAlias = Callable[[str, str], bool]
"""Whether two texts say the same."""

Same: TypeAlias = "Literal['exact', 'normalised', 'numeric'] | SameText"
"""A way to compare texts, by its name or as a function of two texts."""

_AMOUNT = re.compile(
    r"(?P<sign>[-+]?)\s?(?P<unit>[$€£¥]?)(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)\s?(?P<share>%?)"
)
_LAST = re.compile(r"(?:(?<!\w)[-+])?[$€£¥]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?\s?%?")
_DASHES = str.maketrans(
    {"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"'}
)
_BEFORE = " \t\"'`*_([{"
_AFTER = " \t\"'`*_)]}.,;:!?"


def exact(one: str, other: str) -> bool:
    """Whether two texts are equal, apart from blanks around them.

    >>> exact("Paris", " Paris "), exact("Paris", "paris")
    (True, False)
    """
    return one.strip() == other.strip()


def normalised(one: str, other: str) -> bool:
    """Whether two texts are equal apart from case, blanks, Unicode forms, and punctuation, quotes and emphasis around them.

    Two amounts are compared as numbers, with their currency or per cent. A comma that does not part thousands may mean
    anything, so such a text is no number.

    >>> normalised("**Paris**.", "paris"), normalised("(b)", "B"), normalised("$1,200.50", "$1200.5")
    (True, True, True)
    >>> normalised("-5", "5"), normalised("50%", "50"), normalised("3,5", "3.5")
    (False, False, False)
    """
    one, other = _plain(one), _plain(other)
    if one == other:
        return True
    amount = _amount(one)
    return amount is not None and amount == _amount(other)


def numeric(one: str, other: str) -> bool:
    """Whether the last numbers in two texts are the same, as when a calculation is shown before its result.

    Units, currencies and percent signs are passed over. A text without a number agrees with none.

    >>> numeric("12 + 7 = 19, so it is 19.", "19.0"), numeric("19 or 20", "19"), numeric("none", "none")
    (True, False, False)
    """
    amounts = [_amount(found[-1]) if (found := _LAST.findall(_folded(text))) else None for text in (one, other)]
    return amounts[0] is not None and amounts[1] is not None and amounts[0][0] == amounts[1][0]


def amounts(text: str) -> frozenset[Decimal]:
    """All numbers in a text, whatever their order, units and form. Numbers in words are none.

    >>> sorted(amounts("It cost $1,200.50 in 2019, and 0.5 on 2019-12-03."))
    [Decimal('0.5'), Decimal('3'), Decimal('12'), Decimal('1200.50'), Decimal('2019')]
    """
    found = (_amount(written) for written in _LAST.findall(_folded(text)))
    return frozenset(amount[0] for amount in found if amount is not None)


NAMED: Mapping[str, SameText] = MappingProxyType({"exact": exact, "normalised": normalised, "numeric": numeric})
"""The ways to compare texts that have a name."""


def check_same(same: Any) -> None:
    """Refuse what is no way to compare texts.

    Raises:
        ConfigurationError: It is neither a name in `NAMED` nor a function.
    """
    if not (callable(same) or (isinstance(same, str) and same in NAMED)):
        raise ConfigurationError(f"same={same!r} must be {', '.join(map(repr, NAMED))} or a function of two texts.")


def agree(one: Answer, other: Answer, same: Same) -> bool:
    """Whether two answers say the same.

    Structured values agree when they are equal; so do tool calls, when names and arguments are, in order and whatever their
    ids; texts by `same`. An answer with tool calls never agrees with one that has none, nor does one whose value or arguments
    could not be parsed agree with any.

    >>> agree(Answer("It is 7.", parsed={"n": 7}), Answer("", parsed={"n": 7.0}), "exact")
    True
    """
    beyond_text = agree_beyond_text(one, other)
    return bool((NAMED[same] if isinstance(same, str) else same)(one.text, other.text)) if beyond_text is None else beyond_text


def agree_beyond_text(one: Answer, other: Answer) -> bool | None:
    """As `agree`, of structured values and tool calls; `None` where there are neither, so that their texts decide.

    >>> agree_beyond_text(Answer("Rome"), Answer("Paris")) is None
    True
    """
    if any(answer.parsing_error or any(call.error for call in answer.tool_calls) for answer in (one, other)):
        return False
    if one.parsed is not None or other.parsed is not None:
        return bool(one.parsed == other.parsed)
    if one.tool_calls or other.tool_calls:
        wanted = [[(call.name, dict(call.args)) for call in answer.tool_calls] for answer in (one, other)]
        return wanted[0] == wanted[1]
    return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_DASHES).casefold()


def _plain(text: str) -> str:
    """What is left of a text without its form; of one that is nothing but punctuation, all of it."""
    joined = " ".join(_folded(text).split())
    return joined.lstrip(_BEFORE).rstrip(_AFTER) or joined


def _amount(text: str) -> tuple[Decimal, str] | None:
    """An amount's number and its unit; `None` for what is none."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        return None
    number = Decimal(found["digits"].replace(",", ""))
    return (-number if found["sign"] == "-" else number), found["unit"] + found["share"]
