"""Small questions with exact answers, in endless supply and split for good into training and test.

Which side a question is on depends on a hash of its canonical wording alone. All paraphrases are on the same side, so
no question of the test side, in any wording, has ever been trained on.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Literal

from frugal_core.errors import ConfigurationError
from frugal_core.playground.families import BY_NAME, Draft

Split = Literal["train", "test"]

FAMILIES: tuple[str, ...] = tuple(BY_NAME)
"""The names of the question families."""

_TEST_SHARE = 20
_PATIENCE = 500


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its family and the one right answer."""

    family: str
    text: str
    answer: str


def generate(n: int, *, seed: int, split: Split = "test", families: Sequence[str] | None = None) -> list[Question]:
    """Draw `n` different questions, evenly from the families while they last and randomly among their wordings.

    Args:
        n: How many.
        seed: The same seed draws the same questions.
        split: "train" for those that the playground models may have learned from, "test" for the unseen ones.
        families: Which of `FAMILIES` to draw from; all by default.

    Raises:
        ConfigurationError: If a family is unknown, or has too few different questions.

    Examples:
        >>> generate(1, seed=1, families=["addition"])
        [Question(family='addition', text='Calculate 42 + 20.', answer='62')]
    """
    found: dict[str, Question] = {}
    for family, (wordings, answer), draw in _drafts(n, seed, split, families, found):
        text = draw.choice(wordings)
        found.setdefault(text, Question(family, text, answer))
    return list(found.values())


def paraphrases(
    n: int, *, seed: int, split: Split = "test", families: Sequence[str] | None = None
) -> list[tuple[Question, ...]]:
    """Draw `n` different groups of questions; those in a group ask the same in different words.

    Args and errors are those of `generate`.

    Examples:
        >>> [question.text for question in paraphrases(1, seed=1, families=["addition"])[0]][:2]
        ['What is 42 plus 20?', 'How much is 42 + 20?']
    """
    found: dict[str, tuple[Question, ...]] = {}
    for family, (wordings, answer), _ in _drafts(n, seed, split, families, found):
        found.setdefault(wordings[0], tuple(Question(family, text, answer) for text in wordings))
    return list(found.values())


def is_correct(answer: str, expected: str) -> bool:
    """Whether `answer` is `expected`, apart from case in words, spaces around and a full stop at the end.

    Answers in capitals (see the spelling family) must be in capitals.

    Examples:
        >>> is_correct(" monday.", "Monday"), is_correct("7", "17"), is_correct("cat", "CAT")
        (True, False, False)
    """
    given = " ".join(answer.split()).removesuffix(".").rstrip()
    if len(expected) > 1 and expected.isupper():
        return given == expected
    return given.casefold() == expected.casefold()


def split_of(canonical: str) -> Split:
    """Return the side of the question with this canonical wording."""
    digest = hashlib.sha256(canonical.encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") % _TEST_SHARE == 0 else "train"


def _drafts(
    n: int, seed: int, split: Split, families: Sequence[str] | None, found: Sized
) -> Iterator[tuple[str, Draft, random.Random]]:
    """Draw from the families in turn until `n` are found; leave out a family that has no new ones to offer."""
    names = list(FAMILIES if families is None else families)
    if unknown := [name for name in names if name not in BY_NAME]:
        raise ConfigurationError(f"unknown question families: {', '.join(unknown)}; choose from {', '.join(FAMILIES)}")
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    misses = dict.fromkeys(names, 0)
    while misses and len(found) < n:
        for family in list(misses)[: n - len(found)]:
            draft = BY_NAME[family](draw)
            while split_of(draft[0][0]) != split:
                draft = BY_NAME[family](draw)
            before = len(found)
            yield family, draft, draw
            misses[family] = 0 if len(found) > before else misses[family] + 1
            if misses[family] == _PATIENCE:
                del misses[family]
    if len(found) < n:
        raise ConfigurationError(
            f"the {split} side of {', '.join(names)} has fewer than {n} different questions (found {len(found)}); ask for fewer"
        )
