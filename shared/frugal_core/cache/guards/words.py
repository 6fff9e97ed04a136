"""The words of a text, as all guards see them: case, apostrophes and common short forms are evened out."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

TOKEN = re.compile(
    r"0x[0-9a-f]+|\d{4}-\d\d?-\d\d?(?!\d)|\d\d?[/.]\d\d?[/.]\d{4}(?!\d)|\d\d?:\d\d(?::\d\d)?"
    r"|\d+(?:[.,]\d+)*|[a-z]\+\+|[a-z]#(?!\w)|[^\W\d_]+(?:'[^\W\d_]+)*|°\s?[cf]?\b|[$€£¥₹%°]",
    re.IGNORECASE,
)
"""A number, a date or time in digits, a word, or a sign that stands for one."""

_QUOTES = str.maketrans("’‘´`ʼ“”„«»", "'''''\"\"\"\"\"")
_SPELLINGS = {
    "a.m": "am",
    "p.m": "pm",
    "u.s": "usa",
    "u.s.a": "usa",
    "u.k": "uk",
    "u.n": "un",
    "e.u": "eu",
    "united states of america": "usa",
    "united states": "usa",
    "united kingdom": "uk",
    "great britain": "uk",
    "european union": "eu",
    "united nations": "un",
    "e-mail": "email",
    "wi-fi": "wifi",
    "world wide web": "web",
}
_SPELLED = re.compile(
    r"^(?:good (?:morning|afternoon|evening|day))\b|(?<![\w.])(?:"
    + "|".join(re.escape(each) for each in sorted(_SPELLINGS, key=len, reverse=True) if "." in each)
    + r")\b\.?|\b(?:"
    + "|".join(re.escape(each) for each in sorted(_SPELLINGS, key=len, reverse=True) if "." not in each)
    + r")\b",
    re.IGNORECASE,
)
_EXPANDED = {
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "won't": ("will", "not"),
    "shan't": ("shall", "not"),
    "ain't": ("is", "not"),
    "ww": ("world", "war"),
    "wwii": ("world", "war", "ii"),
    "nyc": ("new", "york"),
    "america": ("usa",),
    "britain": ("uk",),
    "js": ("javascript",),
    "tv": ("television",),
    "postgresql": ("postgres",),
    "ai": ("artificial", "intelligence"),
    "versus": ("vs",),
    "uni": ("university",),
    "asap": (),
}
_WITHOUT_APOSTROPHE = (
    "dont doesnt didnt isnt arent wasnt werent hasnt havent hadnt wouldnt couldnt shouldnt mustnt cant wont neednt aint"
)
_EXPANDED |= {word: (word[:-2], "not") for word in _WITHOUT_APOSTROPHE.split()}
_EXPANDED |= {"cant": ("can", "not"), "wont": ("will", "not"), "aint": ("is", "not")}


def each_word(text: str) -> list[str]:
    """The words of a list that is written as a text."""
    return text.split()


class Token(NamedTuple):
    """One word or number.

    Attributes:
        text: In lower case, but for "A" as a name.
        glued: Whether nothing stands between it and the one before.
        capital: Whether it begins with a capital although no sentence begins with it.
    """

    text: str
    glued: bool
    capital: bool


def normal(text: str) -> str:
    """A text with one kind of quotation mark and apostrophe, and full forms of common abbreviations.

    >>> normal("Who is the U.S. president’s wife?")
    "Who is the usa president's wife?"
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))
    return _SPELLED.sub(lambda found: _SPELLINGS.get(found[0].casefold().rstrip("."), ""), text.translate(_QUOTES))


def tokens(text: str) -> list[Token]:
    """The tokens of a text; contractions are taken apart, and possessives lose their ending.

    >>> [token.text for token in tokens("Why doesn't Ann's C++ code run in 2h?")]
    ['why', 'does', 'not', 'ann', 'c++', 'code', 'run', 'in', '2', 'h']
    """
    text = normal(text)
    shouted = text.isupper()
    found: list[Token] = []
    end = -1
    for match in TOKEN.finditer(text):
        shown = match[0]
        word = shown.casefold()
        start = match.start()
        capital = not shouted and shown != word and bool(found) and text[start - 1] not in "\"'" and not _opens(text, start)
        parts = _parts(word) if shown != "A" or not capital else ("A",)  # a name, as in "vitamin A"
        if shown == "US" and not shouted:
            parts = ("usa",)
        for place, part in enumerate(parts):
            found.append(Token(part, start == end and not place, capital))
        end = match.end()
    return found


@lru_cache(50_000)
def _parts(word: str) -> tuple[str, ...]:
    if word in _EXPANDED:
        return _EXPANDED[word]
    if "'" in word:
        if word.endswith("n't"):
            return (word[:-3], "not")
        head, _, tail = word.partition("'")
        heads = _EXPANDED.get(head, (head,))
        return heads if tail in ("s", "re", "ve", "ll", "d", "m", "em") else (*heads, tail)
    return (word,)


def _opens(text: str, start: int) -> bool:
    """Whether a sentence begins here."""
    before = text[max(0, start - 3) : start].rstrip(" (")
    return not before or before[-1] in ".!?:\n"


@lru_cache(50_000)
def stem(word: str) -> str:
    """A word without the endings of English inflection, roughly.

    >>> {stem(word) for word in ("copy", "copies", "copied", "copying")}
    {'copi'}
    """
    word = IRREGULAR.get(word, word)
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "ches", "shes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and re.search("[aeiouy]", rest):
            word = rest[:-1] if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    if len(word) > 4 and word.endswith("ly"):
        word = word[:-2]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


_FORMS = """
    be am is are was were been being; have has had having; do does did done doing; go went gone goes; man men; woman women;
    child children kids kid; foot feet; tooth teeth; mouse mice; goose geese; person people persons; wife wives; life lives;
    knife knives; leaf leaves; shelf shelves; wolf wolves; write wrote written; buy bought; sell sold; get got gotten;
    make made; take took taken; give gave given; know knew known; think thought; see saw seen; come came; find found;
    tell told; become became; leave left; feel felt; bring brought; begin began begun; keep kept; hold held; stand stood;
    hear heard; mean meant; meet met; run ran; pay paid; sit sat; speak spoke spoken; lie lay lain; lead led;
    grow grew grown; lose lost; fall fell fallen; send sent; build built; understand understood; draw drew drawn;
    break broke broken; spend spent; rise rose risen; drive drove driven; eat ate eaten; win won; choose chose chosen;
    freeze froze frozen; forget forgot forgotten; sing sang sung; swim swam swum; fly flew flown; throw threw thrown;
    wear wore worn; teach taught; catch caught; fight fought; sleep slept; steal stole stolen; drink drank drunk;
    die died dying;
    withdraw withdrew withdrawn; television tvs; maximum max; minimum min; hide hid hidden; bite bit bitten; shoot shot;
    hurt; cut; forgive forgave forgiven; lend lent; shrink shrank shrunk; automatic auto; app application apps;
    analysis analyses; crisis crises; thesis theses; datum data; medium media; criterion criteria; bacterium bacteria;
    virus viruses; euro euros; potato potatoes; tomato tomatoes; hero heroes; movie movies; cookie cookies; calorie calories
"""
IRREGULAR = {form: forms[0] for forms in (line.split() for line in _FORMS.split(";")) for form in forms[1:]}


def distance(one: str, other: str, limit: int) -> int:
    """How many letters must be put in, left out, replaced or swapped with the next; `limit` + 1 when more than that.

    Source: Damerau (1964), in the restricted form in which nothing is edited twice.

    >>> distance("python", "pyhton", 2), distance("iran", "iraq", 2), distance("lyon", "berlin", 2)
    (1, 1, 3)
    """
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    older: list[int] = []
    last = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        row = [i]
        for j, right in enumerate(other, 1):
            best = min(last[j] + 1, row[-1] + 1, last[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                best = min(best, older[j - 2] + 1)
            row.append(best)
        if min(row) > limit:
            return limit + 1
        older, last = last, row
    return last[-1] if last[-1] <= limit else limit + 1
