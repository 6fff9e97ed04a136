"""The questions: exact, endless, deterministic, and split without overlap."""

import calendar
import datetime
import re
from itertools import islice

import pytest

from frugal_core.playground.conversations import examples
from frugal_core.playground.dialogue import Dialogue
from frugal_core.playground.questions import FAMILIES, Question, generate, is_correct, paraphrases, split_of
from frugal_core.playground.tokenizer import Tokenizer


def test_same_seed_draws_same_questions() -> None:
    assert generate(200, seed=5) == generate(200, seed=5)
    assert generate(200, seed=5) != generate(200, seed=6)


def test_questions_of_a_call_differ_and_cover_all_families() -> None:
    questions = generate(1500, seed=1)
    assert len({question.text for question in questions}) == 1500
    assert {question.family for question in questions} == set(FAMILIES)


def test_splits_are_disjoint() -> None:
    train = {question.text for question in generate(30_000, seed=3, split="train")}
    test = {question.text for group in paraphrases(2_500, seed=4, split="test") for question in group}
    assert not train & test


def test_training_conversations_contain_no_test_question() -> None:
    tokenizer = Tokenizer()
    test = {question.text for group in paraphrases(2_500, seed=4, split="test") for question in group}
    asked = [
        re.findall(r"<\|user\|>(.*?)<\|assistant\|>", tokenizer.decode(tokens))
        for tokens, _ in islice(examples(Dialogue(tokenizer), 0, {}), 20_000)
    ]
    assert sum(map(len, asked)) >= 20_000
    assert not test & {text for texts in asked for text in texts}


@pytest.mark.parametrize("family", FAMILIES)
def test_no_wording_of_a_test_question_is_a_wording_of_a_train_question(family: str) -> None:
    sides = {
        split: {question.text for group in groups for question in group}
        for split, groups in {
            "train": paraphrases(150, seed=8, split="train", families=[family]),
            "test": paraphrases(8, seed=8, split="test", families=[family]),
        }.items()
    }
    assert not sides["train"] & sides["test"]


def test_split_depends_on_the_canonical_wording_alone() -> None:
    for group in paraphrases(300, seed=2, split="test"):
        assert split_of(group[0].text) == "test"
    for group in paraphrases(300, seed=2, split="train"):
        assert split_of(group[0].text) == "train"


def test_paraphrases_differ_in_words_and_agree_in_the_answer() -> None:
    for group in paraphrases(300, seed=9):
        assert len(group) >= 3
        assert len({question.text for question in group}) == len(group)
        assert len({(question.family, question.answer) for question in group}) == 1


@pytest.mark.parametrize(("family", "sign"), [("addition", 1), ("gain", 1), ("subtraction", -1), ("loss", -1)])
def test_sums_and_differences_are_right(family: str, sign: int) -> None:
    for question in generate(100, seed=11, split="train", families=[family]):
        a, b = sorted(map(int, re.findall(r"\d+", question.text)), reverse=True)
        assert int(question.answer) == a + sign * b, question


def test_days_are_right() -> None:
    for question in generate(200, seed=11, split="train", families=["days"]):
        count = int(re.findall(r"\d+", question.text)[0])
        sign = -1 if re.search("before|ago|earlier", question.text) else 1
        monday = datetime.date(2024, 1, 1)
        start = next(
            day for day in (monday + datetime.timedelta(shift) for shift in range(7)) if day.strftime("%A") in question.text
        )
        assert question.answer == (start + datetime.timedelta(sign * count)).strftime("%A"), question


def test_months_are_right() -> None:
    for question in generate(200, seed=11, split="train", families=["months"]):
        count = int(re.findall(r"\d+", question.text)[0])
        sign = -1 if re.search("before|ago|earlier", question.text) else 1
        start = next(month for month in range(1, 13) if re.search(rf"\b{calendar.month_name[month]}\b", question.text))
        assert question.answer == calendar.month_name[(start - 1 + sign * count) % 12 + 1], question


@pytest.mark.parametrize("family", ["comparison", "extreme", "check", "sorting"])
def test_orders_are_right(family: str) -> None:
    for question in generate(100, seed=11, split="train", families=[family]):
        numbers = list(map(int, re.findall(r"\d+", question.text)))
        rising = sorted(numbers)
        wants_large = bool(re.search("larger|largest (of|to|first)|greate|bigg|maximum|descending", question.text))
        expected = {
            "check": "Yes" if numbers[0] > numbers[-1] else "No",
            "sorting": ", ".join(map(str, rising[::-1] if wants_large else rising)),
        }.get(family, str(rising[-1] if wants_large else rising[0]))
        assert question.answer == expected, question


def test_sequences_and_products_are_right() -> None:
    for question in generate(100, seed=11, split="train", families=["sequence"]):
        numbers = list(map(int, re.findall(r"\d+", question.text)))
        assert int(question.answer) == 2 * numbers[-1] - numbers[-2], question
    for question in generate(100, seed=11, split="train", families=["multiplication"]):
        a, b = map(int, re.findall(r"\d+", question.text))
        assert int(question.answer) == a * b, question


def test_every_word_outside_quotes_is_one_token() -> None:
    tokenizer = Tokenizer()
    for question in (*generate(600, seed=13), *generate(600, seed=13, split="train")):
        text = re.sub('"[a-z]+"', "", question.text)
        tokens = [tokenizer.vocabulary[token] for token in tokenizer.encode(text)]
        assert not [token for token in tokens if len(token) == 1 and token.isalpha() and token != "A"], question


def test_unknown_family_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"poetry.*choose from addition"):
        generate(1, seed=0, families=["poetry"])


def test_too_many_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 5000 different questions"):
        generate(5000, seed=0, families=["days"])


@pytest.mark.parametrize(
    ("answer", "expected", "correct"),
    [
        ("12", "12", True),
        (" 12. ", "12", True),
        ("112", "12", False),
        ("", "12", False),
        ("monday", "Monday", True),
        ("1,  2, 3", "1, 2, 3", True),
        ("cat", "CAT", False),
        ("CAT", "CAT", True),
    ],
)
def test_is_correct(answer: str, expected: str, correct: bool) -> None:
    assert is_correct(answer, expected) is correct


def test_questions_are_values() -> None:
    assert Question("a", "b", "c") == Question("a", "b", "c")
