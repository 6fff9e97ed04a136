"""What a judging model is asked, and how its verdict is read."""

from __future__ import annotations

from typing import Any

import pytest

from core_builders import token
from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.learning.judging import PROMPT, Judge
from frugal_core.learning.labels import grader
from frugal_core.types import Answer


class Model:
    """Replies as told, and writes down how it was asked."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, float | None, bool]] = []

    def __call__(self, text: str, temperature: float | None, logprobs: bool) -> Answer:
        self.asked.append((text, temperature, logprobs))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Answer) else Answer(reply)


class RefusedError(Exception):
    """As providers' clients raise it."""

    status_code = 400


@pytest.mark.parametrize(
    ("reply", "label"),
    [("Yes", 1.0), ("**No.**", 0.0), ("yes, they agree", 1.0), ("Not the same.", 0.0), ("No, yes is wrong", 0.0)],
)
def test_the_first_word_is_the_verdict(reply: str, label: float) -> None:
    assert grader(Judge(Model(reply)))("q", "a", "r") == label


@pytest.mark.parametrize("reply", ["", "I think yes", "Maybe", "1", "The answers agree: yes", "```"])
def test_what_is_no_verdict_is_no_label(reply: str) -> None:
    with pytest.raises(ScorerError, match="neither yes nor no"):
        Judge(Model(reply))("q", "a", "r")


def test_it_is_asked_about_all_three_at_temperature_zero() -> None:
    model = Model("Yes")
    Judge(model)("What is {answer}?", "say {reference}", "an {unknown} thing")
    ((text, temperature, logprobs),) = model.asked
    assert text == (
        PROMPT.replace("{question}", "\0q")
        .replace("{reference}", "\0r")
        .replace("{answer}", "\0a")
        .replace("\0q", "What is {answer}?")
        .replace("\0r", "an {unknown} thing")
        .replace("\0a", "say {reference}")
    )
    assert (temperature, logprobs) == (0.0, False)


def test_the_same_words_and_none_are_not_judged() -> None:
    model = Model()
    judge = Judge(model)
    assert judge("q", " Paris\n", "Paris") == 1.0
    assert judge("q", "  ", "Paris") == 0.0
    assert model.asked == []


def test_a_probability_is_given_where_there_is_one_and_wanted() -> None:
    sure = Answer("Yes", logprobs=[token("Yes", ("No", 0.2), ("yes", 0.1), p=0.7)])
    assert Judge(Model(sure), probability=True)("q", "a", "r") == pytest.approx(0.8)
    assert Judge(Model(sure))("q", "a", "r") == 1.0
    model = Model("No")
    assert Judge(model, probability=True)("q", "a", "r") == 0.0
    assert model.asked[0][2] is True


def test_a_refused_temperature_is_left_out_from_then_on() -> None:
    model = Model(RefusedError("Unsupported value: 'temperature' does not support 0.0"), "Yes", "No")
    judge = Judge(model)
    assert [judge("q", "a", "r"), judge("q", "b", "r")] == [1.0, 0.0]
    assert [temperature for _, temperature, _ in model.asked] == [0.0, None, None]


def test_other_failures_are_the_callers() -> None:
    model = Model(RefusedError("no such model"), "Yes")
    with pytest.raises(RefusedError, match="no such model"):
        Judge(model)("q", "a", "r")
    assert len(model.asked) == 1


@pytest.mark.parametrize("prompt", ["Is {answer} right?", "Is it {reference}?", "", None, 3])
def test_a_prompt_without_both_is_refused(prompt: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"\{answer\} and \{reference\}"):
        Judge(Model(), prompt)


def test_logprobs_of_something_else_fall_back_on_the_words() -> None:
    odd = Answer("Yes", logprobs=[token("Ye", ("Perhaps", 0.4), p=0.6)])
    assert Judge(Model(odd), probability=True)("q", "a", "r") == 1.0
