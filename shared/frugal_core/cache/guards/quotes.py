"""Quoted strings must agree."""

from __future__ import annotations

import re
from typing import NamedTuple

from frugal_core.cache.guards.base import Guard, listed
from frugal_core.cache.guards.words import normal, stem, tokens

QUOTED = re.compile(r'"([^"\n]{1,200})"|`+([^`\n]{1,200})`+|(?<![\w\'])\'(?!\s)([^"\n]{1,200}?)(?<!\s)\'(?![\w\'])')


_REPEATED = re.compile('"+')


class Quoting(NamedTuple):
    """What a text quotes, and all it says."""

    quoted: frozenset[str]
    text: str


class Quotes(Guard):
    """What one question quotes, the other must say, quoted or not; if both quote, they must quote the same.

    Quotation marks and backticks of any kind; case and marks at the end do not count.

    >>> Quotes()('What does "affect" mean?', 'What does "effect" mean?')
    'quotes differ: "affect" here, "effect" there'
    >>> Quotes()('What does "affect" mean?', "What does affect mean?")
    """

    name = "quotes"

    def facts(self, text: str) -> Quoting:
        """What it quotes, and all it says, in lower case."""
        ticked = text.replace("`", "\x00")
        plain = _REPEATED.sub('"', normal(ticked).replace("\x00", "`").casefold())
        if '"' not in plain and "`" not in plain and "'" not in plain:
            return Quoting(frozenset(), plain)
        found = (next(filter(None, match.groups()), "") for match in QUOTED.finditer(plain))
        return Quoting(frozenset(filter(None, (" ".join(each.strip(" .,;:!?").split()) for each in found))), plain)

    def veto(self, asked: Quoting, cached: Quoting) -> str | None:
        """What only one of them quotes."""
        if asked.quoted == cached.quoted:
            return None
        both = bool(asked.quoted and cached.quoted)
        here, there = (
            sorted(each for each in one.quoted - other.quoted if both or not _says(other, each))
            for one, other in ((asked, cached), (cached, asked))
        )
        if not here and not there:
            return None
        return f"quotes differ: {listed(map(_marked, here))} here, {listed(map(_marked, there))} there"


def _says(quoting: Quoting, quoted: str) -> bool:
    """Whether a text has the words of what is quoted, in any form."""
    if re.search(rf"(?<!\w){re.escape(quoted)}(?!\w)", quoting.text):
        return True
    words = {stem(token.text) for token in tokens(quoted)}
    return bool(words) and words.issubset(stem(token.text) for token in tokens(quoting.text))


def _marked(text: str) -> str:
    return f'"{text}"'
