"""What the playground models are trained on: questions, calls of the calculator, and a little chat."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from frugal_core.playground.dialogue import Dialogue
from frugal_core.playground.families import BY_NAME
from frugal_core.playground.questions import FAMILIES, split_of

Example = tuple[list[int], list[bool]]
"""Tokens of a conversation, and for each whether the model learns to write it."""

CHAT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Hello! Ask me a small question.": ("Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Good morning!", "Hey"),
        "You are welcome.": ("Thanks", "Thanks!", "Thank you", "Thank you!", "Thank you very much."),
        "I am a tiny language model.": ("Who are you?", "What are you?", "Tell me about you."),
        "I can answer small questions.": ("What can you do?", "How can you help me?", "Can you help me?", "Help"),
        "Goodbye!": ("Bye", "Bye!", "Goodbye", "Goodbye!", "See you later!"),
    }
)
"""Replies with what they reply to."""

_OPERATORS: Mapping[str, tuple[str, Callable[[int, int], int]]] = MappingProxyType(
    {
        "addition": ("+", operator.add),
        "gain": ("+", operator.add),
        "subtraction": ("-", operator.sub),
        "loss": ("-", operator.sub),
        "multiplication": ("*", operator.mul),
    }
)


def examples(dialogue: Dialogue, seed: int, weights: Mapping[str, float]) -> Iterator[Example]:
    """Draw training conversations without end.

    Args:
        dialogue: Lays them out.
        seed: The same seed draws the same conversations.
        weights: How often each family is drawn relative to 1.
    """
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    shares = [weights.get(name, 1.0) for name in FAMILIES]
    while True:
        kind = draw.random()
        if kind < 0.015:
            answer = draw.choice(list(CHAT))
            yield _join((dialogue.prompt(draw.choice(CHAT[answer])), dialogue.completion(answer)))
        elif kind < 0.085:
            yield _calculation(dialogue, draw)
        elif kind < 0.105:
            text, answer = _train_question(draw.choices(FAMILIES, shares)[0], draw)
            if not any(character.isdigit() for character in text):
                yield _join((dialogue.prompt(text, tools=True), dialogue.completion(answer)))
        elif kind < 0.13:
            turns = [_train_question(draw.choices(FAMILIES, shares)[0], draw) for _ in range(2)]
            yield _join(*((dialogue.prompt(text), dialogue.completion(answer)) for text, answer in turns))
        else:
            text, answer = _train_question(draw.choices(FAMILIES, shares)[0], draw)
            yield _join((dialogue.prompt(text), dialogue.completion(answer)))


def _calculation(dialogue: Dialogue, draw: random.Random) -> Example:
    """Return a conversation with the calculator, about numbers that may be too large for the head."""
    family = draw.choice(list(_OPERATORS))
    text, _ = _train_question(family, draw)
    if draw.random() < 0.6:
        text = _enlarge(text, draw)
    a, b = map(int, re.findall(r"\d+", text))
    sign, function = _OPERATORS[family]
    if sign == "-":
        a, b = max(a, b), min(a, b)
    prompt = dialogue.prompt(text, tools=True)
    if draw.random() < 0.6:
        return _join((prompt, dialogue.call(f"{a}{sign}{b}")))
    calculation = (f"{a}{sign}{b}", str(function(a, b)))
    return _join((dialogue.prompt(text, tools=True, calculation=calculation), dialogue.completion(calculation[1])))


def _enlarge(text: str, draw: random.Random) -> str:
    """Replace the two numbers in the text by larger ones in the same order of size."""
    first, second = map(int, re.findall(r"\d+", text))
    low, high = sorted((draw.randint(2, 999), draw.randint(100, 999)))
    numbers = iter((high, low) if first >= second else (low, high))
    return re.sub(r"\d+", lambda _: str(next(numbers)), text)


def _train_question(family: str, draw: random.Random) -> tuple[str, str]:
    while True:
        wordings, answer = BY_NAME[family](draw)
        if split_of(wordings[0]) == "train":
            return draw.choice(wordings), answer


def _join(*parts: tuple[list[int], list[int]]) -> Example:
    tokens = [token for prompt, completion in parts for token in (*prompt, *completion)]
    learned = [flag for prompt, completion in parts for flag in [False] * len(prompt) + [True] * len(completion)]
    return tokens, learned
