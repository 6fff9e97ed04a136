"""Margin sampling: which token is the answer's, who its rival is, and when there is no telling."""

from __future__ import annotations

from math import log
from typing import Any

import pytest

from core_builders import make_query, says, token
from frugal_core.errors import ConfigurationError
from frugal_core.scorers import Margin
from frugal_core.types import TokenLogprob

JSON = {"type": "object", "properties": {"capital": {"type": "string"}}}
PARIS = token("Paris", ("London", 0.2), p=0.7)


def margin(*tokens: TokenLogprob, scorer: Margin | None = None, **query: Any) -> float | None:
    return (scorer or Margin())(make_query(**query), says(logprobs=tokens))


def test_the_margin_is_that_of_the_first_token() -> None:
    assert margin(PARIS, token(".", ("!", 0.4), p=0.5)) == pytest.approx(0.5)


def test_the_strongest_rival_counts() -> None:
    assert margin(token("Paris", ("Rome", 0.05), ("London", 0.2), ("Bern", 0.01), p=0.7)) == pytest.approx(0.5)


@pytest.mark.parametrize("blank", [" ", "\n", "\n\n", "\t", ""])
def test_blank_tokens_before_the_answer_are_passed_over(blank: str) -> None:
    assert margin(token(blank, ("The", 0.45), p=0.5), PARIS) == pytest.approx(0.5)


def test_the_whole_of_certainty_and_none_of_it() -> None:
    assert margin(token("Paris", ("Rome", 1e-12), p=1.0)) == pytest.approx(1.0)
    assert margin(token("Paris", ("Rome", 0.5), p=0.5)) == 0.0


def test_a_token_sampled_against_a_likelier_rival_has_none() -> None:
    """At a temperature above 0 the model may say what it holds for unlikely: that is no confidence in what it said."""
    assert margin(token("London", ("Paris", 0.9), p=0.1)) == 0.0
    said = TokenLogprob("Oslo", log(0.01), (("Paris", log(0.9)), ("London", log(0.05))))
    assert margin(said) == 0.0


# Spellings of the same answer


@pytest.mark.parametrize("spelling", ["Par", "paris", " Paris", "Paris,", "PARIS"])
def test_another_spelling_is_no_rival(spelling: str) -> None:
    assert margin(token("Paris", (spelling, 0.25), ("London", 0.1), p=0.6)) == pytest.approx(0.5)


@pytest.mark.parametrize("spelling", ["Par", "paris"])
def test_another_spelling_is_a_rival_if_so_wished(spelling: str) -> None:
    scorer = Margin(ignore_overlaps=False)
    assert margin(token("Paris", (spelling, 0.25), ("London", 0.1), p=0.6), scorer=scorer) == pytest.approx(0.35)


def test_a_likelier_spelling_of_what_was_said_lends_its_probability() -> None:
    assert margin(token("Par", ("Paris", 0.7), ("London", 0.1), p=0.2)) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "10"), ("42", "4"), ("3", "3.5"), ("1", "-1"), ("$5", "$50"), ("5", "5%"), (" 7", "77")]
)
def test_two_numbers_are_never_the_same_answer(one: str, other: str) -> None:
    assert margin(token(one, (other, 0.25), ("x", 0.1), p=0.6)) == pytest.approx(0.35)


def test_the_same_number_with_a_space_is_the_same_answer() -> None:
    assert margin(token("42", (" 42", 0.25), ("43", 0.1), p=0.6)) == pytest.approx(0.5)


def test_without_a_shown_rival_the_hidden_one_is_taken_as_likely_as_it_can_be() -> None:
    assert margin(token("Paris", ("Par", 0.2), p=0.6)) == pytest.approx(0.4)  # the last shown has 0.2, as has the rest
    assert margin(token("Paris", ("Par", 0.3), p=0.69)) == pytest.approx(0.68)  # the rest has 0.01
    assert margin(token("Paris", ("Par", 0.05), p=0.2)) == pytest.approx(0.15)  # none hidden is likelier than 0.05


# Classification


def test_class_probabilities_are_summed_over_the_tokens_that_begin_them() -> None:
    said = token("pos", ("Pos", 0.1), (" positive", 0.1), ("neg", 0.2), ("The", 0.1), p=0.4)
    assert margin(said, scorer=Margin(classes=["positive", "negative"])) == pytest.approx(0.4)


def test_a_token_that_begins_several_classes_counts_for_each() -> None:
    scorer = Margin(classes=["very good", "very bad", "fair"])
    assert margin(token("very", ("fair", 0.1), p=0.8), scorer=scorer) == 0.0


def test_the_rival_of_a_class_is_another_class_and_not_another_word() -> None:
    scorer = Margin(classes=["yes", "no"])
    assert margin(token("Yes", ("Well", 0.3), ("No", 0.1), p=0.5), scorer=scorer) == pytest.approx(0.4)


def test_no_token_of_any_class_is_no_signal() -> None:
    assert margin(token("The", ("Well", 0.3), p=0.5), scorer=Margin(classes=["yes", "no"])) is None


def test_a_class_sampled_against_a_likelier_one_has_no_margin() -> None:
    assert margin(token("no", ("yes", 0.8), p=0.2), scorer=Margin(classes=["yes", "no"])) == 0.0


def test_an_overlap_of_class_names_is_no_spelling() -> None:
    scorer = Margin(classes=["valid", "invalid"])
    assert margin(token("valid", ("invalid", 0.3), p=0.6), scorer=scorer) == pytest.approx(0.3)


# Several tokens


def test_the_least_margin_of_the_first_tokens_counts() -> None:
    tokens = PARIS, token(" is", (" was", 0.45), p=0.5), token(" it", (" he", 0.5), p=0.5)
    assert margin(*tokens, scorer=Margin(tokens=2)) == pytest.approx(0.05)
    assert margin(*tokens, scorer=Margin(tokens=1)) == pytest.approx(0.5)
    assert margin(*tokens, scorer=Margin(tokens=99)) == 0.0


def test_one_token_without_signal_leaves_all_without() -> None:
    assert margin(PARIS, TokenLogprob("x", -0.1), scorer=Margin(tokens=2)) is None
    assert margin(PARIS, TokenLogprob("x", -0.1), scorer=Margin(tokens=1)) == pytest.approx(0.5)


# Structured answers


@pytest.mark.parametrize(
    "frame",
    [
        ["{", '"', "capital", '":', ' "'],
        ['{"capital":"'],
        ["{\n", '  "capital"', ": ", '"'],
        ['{"', "cities", '":', ' ["'],
        ['{"answer":', ' {"', 'cap\\"ital', '": "'],
        ['[{"', "capital", '": "'],
    ],
)
def test_the_frame_of_a_json_answer_is_passed_over(frame: list[str]) -> None:
    tokens = [token(part, ("}", 0.45), p=0.5) for part in frame]
    assert margin(*tokens, PARIS, response_format=JSON) == pytest.approx(0.5)


def test_a_number_or_a_word_is_a_value_too() -> None:
    frame = [token(part, ("}", 0.45), p=0.5) for part in ('{"', "n", '":', " ")]
    assert margin(*frame, token("42", ("43", 0.3), p=0.6), response_format=JSON) == pytest.approx(0.3)
    assert margin(*frame, token("true", ("false", 0.3), p=0.6), response_format=JSON) == pytest.approx(0.3)


def test_a_token_that_ends_the_frame_and_begins_the_value_is_the_values() -> None:
    tokens = token('{"capital":', ("}", 0.45), p=0.5), token(' "Paris', (' "London', 0.2), p=0.7)
    assert margin(*tokens, response_format=JSON) == pytest.approx(0.5)


def test_without_a_response_format_braces_are_an_answer() -> None:
    assert margin(token('{"capital":"', ("}", 0.45), p=0.5), PARIS) == pytest.approx(0.05)


def test_text_where_json_was_asked_for_is_scored_as_text() -> None:
    assert margin(PARIS, response_format=JSON) == pytest.approx(0.5)
    assert margin(token("4", ("5", 0.3), p=0.6), PARIS, response_format=JSON) == pytest.approx(0.3)


# No signal


@pytest.mark.parametrize(
    "tokens",
    [
        (),
        (token(" ", ("x", 0.1), p=0.5),),
        (TokenLogprob("Paris", -0.1),),
        (TokenLogprob("Paris", -0.1, (("Paris", -0.1),)),),
        (TokenLogprob("Paris", float("nan"), (("Paris", float("nan")), ("London", -3.0))),),
        (TokenLogprob("Paris", -0.1, (("Paris", -0.1), ("London", float("nan")))),),
        (TokenLogprob("Paris", -0.1, (("Paris", -0.1), ("London", float("nan")), ("Rome", -5.0))),),
        (TokenLogprob("Paris", 0.9, (("Paris", 0.9), ("London", 0.05))),),
        (TokenLogprob("Paris", -0.1, (("Paris", -0.1), ("London", None))),),  # type: ignore[arg-type]
        (TokenLogprob("Paris", -0.1, (("Paris", -0.1), ("London", "-3"))),),  # type: ignore[arg-type]
    ],
    ids=["none", "blank", "no rivals", "one rival", "nan", "nan rival", "nan between", "probabilities", "null", "text"],
)
@pytest.mark.parametrize("scorer", [Margin(), Margin(classes=["Paris", "London"]), Margin(tokens=3)], ids=repr)
def test_missing_or_malformed_signals_are_none_and_never_confidence(tokens: tuple[TokenLogprob, ...], scorer: Margin) -> None:
    assert margin(*tokens, scorer=scorer) is None


def test_minus_infinity_and_the_sentinel_of_openai_are_impossible_tokens() -> None:
    for impossible in (float("-inf"), -9999.0):
        said = TokenLogprob("Paris", log(0.9), (("Paris", log(0.9)), ("London", impossible)))
        assert margin(said) == pytest.approx(0.9)


# Bad input


@pytest.mark.parametrize(
    "classes", [[], ["yes"], ["yes", "yes"], ["yes", "Yes"], ["yes", ""], "yes", ["yes", 1], ("a", "b", "a")]
)
def test_too_few_classes_are_refused(classes: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"classes=.*: a margin needs at least two class names, all different"):
        Margin(classes=classes)


@pytest.mark.parametrize("tokens", [0, -1, 1.5, "2", None, True])
def test_a_number_of_tokens_out_of_range_is_refused(tokens: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"tokens=.* is out of range: it is a number of tokens, 1 or more"):
        Margin(tokens=tokens)


def test_equal_margins_are_equal() -> None:
    assert Margin(classes=["a", "b"]) == Margin(classes=("a", "b"))
    assert hash(Margin(classes=["a", "b"])) == hash(Margin(classes=("a", "b")))
