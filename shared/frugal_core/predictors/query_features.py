"""What a query shows of itself before anybody answers it, as numbers that a predictor can be learned from."""

from __future__ import annotations

from math import log1p

from frugal_core.types import Query

QUERY_FEATURES = (
    "log characters",
    "log words",
    "mean word length",
    "share of distinct words",
    "share of capitals",
    "share of digits",
    "share of code",
    "share of mathematics",
    "share beyond ASCII",
    "log numbers",
    "log question marks",
    "log lines",
    "asks how or why",
    "asks what, who, when or where",
    "asks which",
    "denies",
    "log turns",
    "log characters of the other turns",
    "log characters of the system prompt",
    "log tools",
    "asks for a schema",
    "has media",
)
"""Names of what `query_features` gives, in its order."""

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz") | frozenset(range(128, 256))
_WORDS = bytes(byte if byte in _LETTERS else 32 for byte in range(256))
_DIGITS = b"0123456789"
_NUMBERS = bytes(byte if byte in _DIGITS else 32 for byte in range(256))
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CODE = b"{}[]();<>_#`|&@"
_MATHEMATICS = b"+-*/=^\\$%"
_ASCII = bytes(range(128))
_HOW = frozenset({b"how", b"why", b"explain", b"prove", b"derive"})
_WHAT = frozenset({b"what", b"who", b"whom", b"whose", b"when", b"where"})
_DENIALS = frozenset({b"not", b"no", b"never", b"except", b"without", b"neither", b"nor", b"cannot", b"incorrect", b"false"})
_READ = 20_000


def query_features(query: Query) -> list[float]:
    """Surface features of a query: lengths, shares of kinds of characters, kinds of questions, and what surrounds it.

    Shares are of the bytes in UTF-8. It takes no embedding and no library: some 50 microseconds for 2,000 characters. Of a
    text longer than 20,000 characters the end is looked at, where the question usually stands; its length counts in full.

    Args:
        query: The query.

    Returns:
        One finite number per name in `QUERY_FEATURES`; that of the last user turn where not said otherwise.

    >>> from frugal_core.types import Message
    >>> found = query_features(Query((Message("user", "Why is 17 a prime, but not 21?"),), ()))
    >>> values = dict(zip(QUERY_FEATURES, found, strict=True))
    >>> values["asks how or why"], values["denies"], round(values["log numbers"], 2), round(values["share of digits"], 2)
    (1.0, 1.0, 1.1, 0.13)
    """
    messages = query.messages
    text = query.text
    raw = _bytes(text)
    size = max(len(raw), 1)
    words = words_of(text)
    distinct = set(words)

    def share(kind: bytes) -> float:
        return (len(raw) - len(raw.translate(None, kind))) / size

    return [
        log1p(len(text)),
        log1p(len(words)),
        sum(map(len, words)) / max(len(words), 1),
        len(distinct) / max(len(words), 1),
        share(_CAPITALS),
        share(_DIGITS),
        share(_CODE),
        share(_MATHEMATICS),
        len(raw.translate(None, _ASCII)) / size,
        log1p(len(raw.translate(_NUMBERS).split())),
        log1p(raw.count(b"?")),
        log1p(raw.count(b"\n")),
        float(not distinct.isdisjoint(_HOW)),
        float(not distinct.isdisjoint(_WHAT)),
        float(b"which" in distinct),
        float(not distinct.isdisjoint(_DENIALS)),
        log1p(len(messages)),
        log1p(max(sum(len(message.text) for message in messages) - len(text), 0)),
        log1p(len(query.system)),
        log1p(len(query.tools)),
        float(query.response_format is not None),
        float(any(message.has_media for message in messages)),
    ]


def words_of(text: str) -> list[bytes]:
    r"""The words of a text in small letters, digits and punctuation left out, as UTF-8; those of its end if it is very long.

    >>> words_of("What's 2 + 2? Ärger!")
    [b'what', b's', b'\xc3\xa4rger']
    """
    return _bytes(text[-_READ:].lower()).translate(_WORDS).split()


def _bytes(text: str) -> bytes:
    """The end of a text: bytes are counted and split at the speed of C."""
    return text[-_READ:].encode("utf-8", "replace")
