"""The question families: how each draws its numbers and words, computes the answer and words the question.

A family draws the operands of one question and returns its wordings, all of which mean the same, with the answer. Each
wording shows every operand, so that equal questions are equal in all wordings.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType

Draft = tuple[tuple[str, ...], str]
"""The wordings of one question, the canonical one first, and their common answer."""

_NAMES = ("Ann", "Tom", "Ben", "Eve", "Mia", "Leo", "Zoe", "Max")
_THINGS = ("apples", "books", "coins", "cards", "pens", "shells", "stamps", "eggs", "cups", "balls")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_UNITS = (
    *(("metres", "centimetres", 100), ("kilograms", "grams", 1000), ("hours", "minutes", 60)),
    *(("minutes", "seconds", 60), ("weeks", "days", 7), ("days", "hours", 24), ("dollars", "cents", 100)),
)
_OWNERS = ("This one", "The first one", "The second one", "The third one", "The big one", "The small one")


def _addition(draw: random.Random) -> Draft:
    total = draw.randint(2, 99)
    a = draw.randint(1, total - 1)
    b = total - a
    return (
        f"What is {a} plus {b}?",
        f"How much is {a} + {b}?",
        f"Add {b} to {a}.",
        f"Calculate {a} + {b}.",
        f"What is the sum of {a} and {b}?",
    ), str(total)


def _subtraction(draw: random.Random) -> Draft:
    a = draw.randint(2, 99)
    b = draw.randint(1, a)
    return (
        f"What is {a} minus {b}?",
        f"How much is {a} - {b}?",
        f"Subtract {b} from {a}.",
        f"Calculate {a} - {b}.",
        f"What is left of {a} if you take away {b}?",
    ), str(a - b)


def _multiplication(draw: random.Random) -> Draft:
    a, b, thing = draw.randint(2, 9), draw.randint(2, 9), draw.choice(_THINGS)
    return (
        f"There are {a} boxes with {b} {thing} each. How many {thing} are there?",
        f"How many {thing} are in {a} boxes of {b} {thing} each?",
        f"A box holds {b} {thing}. How many {thing} do {a} boxes hold?",
    ), str(a * b)


def _comparison(draw: random.Random) -> Draft:
    a, b = draw.sample(range(100), 2)
    if draw.random() < 0.5:
        return (
            f"Which is larger, {a} or {b}?",
            f"Which number is greater: {a} or {b}?",
            f"Of {a} and {b}, which is the bigger number?",
            f"Give me the larger of {a} and {b}.",
        ), str(max(a, b))
    return (
        f"Which is smaller, {a} or {b}?",
        f"Which number is less: {a} or {b}?",
        f"Of {a} and {b}, which is the lower number?",
        f"Give me the smaller of {a} and {b}.",
    ), str(min(a, b))


def _check(draw: random.Random) -> Draft:
    a, b = draw.sample(range(100), 2)
    return (
        f"Is {a} larger than {b}?",
        f"Is {a} greater than {b}?",
        f"Is the number {a} bigger than {b}?",
    ), "Yes" if a > b else "No"


def _extreme(draw: random.Random) -> Draft:
    a, b, c = draw.sample(range(100), 3)
    if draw.random() < 0.5:
        return (
            f"What is the largest of {a}, {b} and {c}?",
            f"Which of {a}, {b} and {c} is the greatest?",
            f"Find the maximum of {a}, {b}, {c}.",
        ), str(max(a, b, c))
    return (
        f"What is the smallest of {a}, {b} and {c}?",
        f"Which of {a}, {b} and {c} is the least?",
        f"Find the minimum of {a}, {b}, {c}.",
    ), str(min(a, b, c))


def _sorting(draw: random.Random) -> Draft:
    numbers = draw.sample(range(100), 3)
    shown = ", ".join(map(str, numbers))
    if draw.random() < 0.5:
        return (
            f"Sort {shown} in ascending order.",
            f"Put these numbers in order from smallest to largest: {shown}.",
            f"Order {shown}, smallest first.",
        ), ", ".join(map(str, sorted(numbers)))
    return (
        f"Sort {shown} in descending order.",
        f"Put these numbers in order from largest to smallest: {shown}.",
        f"Order {shown}, largest first.",
    ), ", ".join(map(str, sorted(numbers, reverse=True)))


def _sequence(draw: random.Random) -> Draft:
    step, count = draw.choice((1, 2, 3, 5, 10)), draw.randint(3, 5)
    start = draw.randint(0, 99 - count * step)
    shown = ", ".join(str(start + step * i) for i in range(count))
    return (
        f"Which number comes next: {shown}?",
        f"Continue the sequence {shown}.",
        f"What follows {shown}?",
    ), str(start + count * step)


def _units(draw: random.Random) -> Draft:
    count, (unit, smaller, factor), owner = draw.randint(2, 12), draw.choice(_UNITS), draw.choice(_OWNERS)
    verb = {"metres": "measures", "kilograms": "weighs", "dollars": "costs"}.get(unit, "takes")
    return (
        f"{owner} {verb} {count} {unit}. How many {smaller} is that?",
        f"{owner} {verb} {count} {unit}. Convert this to {smaller}.",
        f"{owner} {verb} {count} {unit}. Express that in {smaller}.",
    ), str(count * factor)


def _days(draw: random.Random) -> Draft:
    name, count, day = draw.choice(_NAMES), draw.randint(2, 10), draw.randrange(7)
    if draw.random() < 0.5:
        return (
            f"{name} travels {count} days after {_DAYS[day]}. What day is it then?",
            f"Today is {_DAYS[day]}. {name} travels in {count} days. Which day is that?",
            f"If it is {_DAYS[day]} now and {name} travels {count} days later, which day is that?",
        ), _DAYS[(day + count) % 7]
    return (
        f"{name} came {count} days before {_DAYS[day]}. What day was it then?",
        f"Today is {_DAYS[day]}. {name} came {count} days ago. Which day was that?",
        f"If it is {_DAYS[day]} now and {name} came {count} days earlier, which day was that?",
    ), _DAYS[(day - count) % 7]


def _months(draw: random.Random) -> Draft:
    name, count, month = draw.choice(_NAMES), draw.randint(2, 6), draw.randrange(12)
    if draw.random() < 0.5:
        return (
            f"{name} moves {count} months after {_MONTHS[month]}. Which month is it then?",
            f"It is {_MONTHS[month]}. {name} moves in {count} months. What month is that?",
            f"If it is {_MONTHS[month]} now and {name} moves {count} months later, which month is that?",
        ), _MONTHS[(month + count) % 12]
    return (
        f"{name} moved {count} months before {_MONTHS[month]}. Which month was it then?",
        f"It is {_MONTHS[month]}. {name} moved {count} months ago. What month was that?",
        f"If it is {_MONTHS[month]} now and {name} moved {count} months earlier, which month was that?",
    ), _MONTHS[(month - count) % 12]


def _letters(draw: random.Random) -> Draft:
    word = _word(draw)
    kind = draw.randrange(3)
    if kind == 0:
        return (
            f'What is the first letter of "{word}"?',
            f'Which letter does "{word}" begin with?',
            f'With which letter does the word "{word}" start?',
        ), word[0]
    if kind == 1:
        return (
            f'What is the last letter of "{word}"?',
            f'Which letter does "{word}" end with?',
            f'With which letter does the word "{word}" finish?',
        ), word[-1]
    return (
        f'How many letters are in "{word}"?',
        f'Count the letters of "{word}".',
        f'How long is the word "{word}"?',
    ), str(len(word))


def _spelling(draw: random.Random) -> Draft:
    word = _word(draw)
    if draw.random() < 0.5:
        return (
            f'Reverse the word "{word}".',
            f'Spell "{word}" backwards.',
            f'Write "{word}" from its end to its beginning.',
        ), word[::-1]
    return (
        f'Write "{word}" in capital letters.',
        f'Convert "{word}" to upper case.',
        f'Put the word "{word}" in capitals.',
    ), word.upper()


def _gain(draw: random.Random) -> Draft:
    total = draw.randint(4, 99)
    a = draw.randint(2, total - 2)
    b, name, thing = total - a, draw.choice(_NAMES), draw.choice(_THINGS)
    return (
        f"{name} has {a} {thing} and buys {b} more. How many {thing} does {name} have now?",
        f"{name} had {a} {thing}, then found {b} more. How many {thing} are there now?",
        f"{name} owns {a} {thing} and gets another {b}. How many {thing} is that in total?",
    ), str(total)


def _loss(draw: random.Random) -> Draft:
    a = draw.randint(4, 99)
    b, name, thing = draw.randint(2, a - 1), draw.choice(_NAMES), draw.choice(_THINGS)
    return (
        f"{name} has {a} {thing} and gives away {b}. How many {thing} are left?",
        f"{name} had {a} {thing} but lost {b} of them. How many {thing} does {name} still have?",
        f"Of {a} {thing}, {name} sells {b}. How many {thing} remain?",
    ), str(a - b)


def _word(draw: random.Random) -> str:
    """Make up a word of 3 to 6 letters that can be pronounced."""
    start = draw.randrange(2)
    return "".join(draw.choice("aeiou" if (start + place) % 2 else "bcdfghklmnprstvwyz") for place in range(draw.randint(3, 6)))


BY_NAME: Mapping[str, Callable[[random.Random], Draft]] = MappingProxyType(
    {
        "addition": _addition,
        "subtraction": _subtraction,
        "multiplication": _multiplication,
        "comparison": _comparison,
        "check": _check,
        "extreme": _extreme,
        "sorting": _sorting,
        "sequence": _sequence,
        "units": _units,
        "days": _days,
        "months": _months,
        "letters": _letters,
        "spelling": _spelling,
        "gain": _gain,
        "loss": _loss,
    }
)
"""Each family's name with the function that draws one question."""
