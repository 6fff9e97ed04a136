"""A small lossless tokenizer: whole words, numbers up to 99, characters, and half bytes for everything else."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from frugal_core.playground.vocabulary import SPECIAL_TOKENS, WORDS

_PIECES = re.compile(r" ?[A-Za-z]+| ?[0-9]{1,2}|.", re.DOTALL)
_CHARACTERS = tuple(chr(code) for code in range(32, 127))
_NUMBERS = tuple(f"{space}{number}" for space in ("", " ") for number in range(100))
_HALF_BYTES = tuple(f"<0x{digit:X}>" for digit in range(16))


class Tokenizer:
    """Turns any text into ids and back without loss.

    Known words and numbers carry the space before them, so that a word within quotes is spelled letter by letter.
    Special tokens are ids only: text that looks like one is encoded as plain characters.

    Attributes:
        vocabulary: Each token's text by id; half bytes and special tokens have a name in angle brackets.
        user, assistant, tools, call, result, end: The ids of the special tokens.

    Examples:
        >>> tokenizer = Tokenizer()
        >>> ids = tokenizer.encode('Add 3 to 120 "cats".')
        >>> [tokenizer.vocabulary[token] for token in ids]
        ['Add', ' 3', ' to', ' 12', '0', ' ', '"', 'c', 'a', 't', 's', '"', '.']
        >>> tokenizer.decode(ids)
        'Add 3 to 120 "cats".'
    """

    def __init__(self) -> None:
        self.vocabulary, self._ids = _vocabulary()
        special = [self._ids[name] for name in SPECIAL_TOKENS]
        self.user, self.assistant, self.tools, self.call, self.result, self.end = special
        self._first_half = self._ids[_HALF_BYTES[0]]

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, which never include special tokens."""
        ids: list[int] = []
        for piece in _PIECES.findall(text):
            known = self._ids.get(piece)
            if known is not None:
                ids.append(known)
            else:
                for character in piece:
                    ids.extend(self._spell(character))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; special tokens read as their names, incomplete characters as U+FFFD."""
        decoder = self.stream_decoder()
        return "".join(decoder.feed(token) for token in ids) + decoder.finish()

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder that takes one id at a time."""
        return StreamDecoder(self.vocabulary, self._first_half)

    def _spell(self, character: str) -> list[int]:
        known = self._ids.get(character)
        if known is not None:
            return [known]
        encoded = character.encode("utf-8", "surrogatepass")
        return [self._first_half + half for byte in encoded for half in (byte >> 4, byte & 15)]


class StreamDecoder:
    """Decodes ids one by one and holds back the bytes of a character until it is complete."""

    def __init__(self, vocabulary: tuple[str, ...], first_half: int) -> None:
        self._vocabulary = vocabulary
        self._first_half = first_half
        self._halves: list[int] = []

    def feed(self, token: int) -> str:
        """Return the text that `token` completes, possibly none."""
        half = token - self._first_half
        if not 0 <= half < 16:
            return self.finish() + self._vocabulary[token]
        self._halves.append(half)
        if len(self._halves) % 2:
            return ""
        encoded = bytes(high << 4 | low for high, low in zip(self._halves[::2], self._halves[1::2], strict=True))
        try:
            text = encoded.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return self.finish() if len(encoded) >= 4 else ""
        self._halves.clear()
        return text

    def finish(self) -> str:
        """Return U+FFFD if a character is left incomplete, else nothing."""
        incomplete = bool(self._halves)
        self._halves.clear()
        return "\N{REPLACEMENT CHARACTER}" if incomplete else ""


@functools.cache
def _vocabulary() -> tuple[tuple[str, ...], dict[str, int]]:
    tokens = dict.fromkeys((*SPECIAL_TOKENS, *_HALF_BYTES, *_CHARACTERS, *_NUMBERS, *WORDS))
    return tuple(tokens), {token: index for index, token in enumerate(tokens)}
