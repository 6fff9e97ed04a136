"""Labels by meaning, with a real embedding where that is what matters."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal

import pytest

from frugal_core.agreement import amounts
from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.learning.labels import grader
from frugal_core.learning.semantic import KEPT, SemanticAgreement


class Embedding:
    """Gives vectors by the first word, and counts the texts it was given."""

    def __init__(self, **vectors: Sequence[float]) -> None:
        self.vectors = vectors
        self.texts: list[str] = []

    def __call__(self, text: str) -> Sequence[float]:
        self.texts.append(text)
        return self.vectors[text.split()[0]]


def at(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def test_the_angle_decides() -> None:
    embed = Embedding(zero=at(0), near=at(36), far=at(38))
    same = SemanticAgreement(embed, threshold=0.8)  # 36.87 degrees
    assert same("q", "near by", "zero") == 1.0
    assert same("q", "far off", "zero") == 0.0
    assert SemanticAgreement(embed, threshold=0.78)("q", "far off", "zero") == 1.0


def test_lengths_of_vectors_do_not_count() -> None:
    embed = Embedding(zero=(1e-3, 0), near=(5e3, 5))
    assert SemanticAgreement(embed, threshold=0.99)("q", "near", "zero") == 1.0


@pytest.mark.parametrize(
    ("answer", "reference", "label"),
    [
        ("same 7", "same 8", 0.0),
        ("same 7", "same", 0.0),
        ("same", "same 7 it is", 0.0),
        ("same 1,200.0 and 3", "same: 3 of 1200", 1.0),
        ("same -5 degrees", "same 5 degrees", 0.0),
        ("same words here", "same words there", 1.0),
        ("same 3 + 4 = 7", "same 7", 0.0),
    ],
)
def test_numbers_must_agree_however_alike_the_rest(answer: str, reference: str, label: float) -> None:
    embed = Embedding(same=at(0), **{"same:": at(0)})
    assert SemanticAgreement(embed)("q", answer, reference) == label


def test_equal_wording_is_not_embedded_nor_is_what_numbers_or_blanks_settle() -> None:
    embed = Embedding()
    same = SemanticAgreement(embed)
    assert same("q", "**Paris**.", "paris") == 1.0
    assert same("q", "it is 7", "it is 8") == 0.0
    assert same("q", " ", "it is") == 0.0
    assert embed.texts == []


def test_a_text_is_embedded_once_and_not_kept_for_ever() -> None:
    embed = Embedding(a=at(0), b=at(10), c=at(20))
    same = SemanticAgreement(embed)
    for text in ("b", "c", "b"):
        same("q", f"{text} answer", "a reference")
    assert sorted(embed.texts) == ["a reference", "b answer", "c answer"]
    for number in range(KEPT):
        same("q", "b " + "x" * (1 + number % 7) + "y" * (number // 7), "a reference")
    same("q", "c answer", "a reference")
    assert embed.texts.count("a reference") == 1  # used all the time
    assert embed.texts.count("c answer") == 2  # not for long


def test_methods_of_both_frameworks_are_found() -> None:
    class LangChainLike:
        def embed_query(self, text: str) -> list[float]:
            return [1.0, 0.0]

    class LlamaIndexLike:
        def get_text_embedding(self, text: str) -> list[float]:
            return [1.0, 0.0]

        def __call__(self, nodes: object) -> object:
            raise AssertionError("LlamaIndex's embeddings are callable, on nodes")

    for embed in (LangChainLike(), LlamaIndexLike()):
        assert SemanticAgreement(embed)("q", "one", "other") == 1.0


@pytest.mark.parametrize("embed", [None, "all-MiniLM", 3, Embedding])
def test_what_embeds_nothing_is_refused(embed: object) -> None:
    with pytest.raises(ConfigurationError, match="embed_query or get_text_embedding"):
        SemanticAgreement(embed)


@pytest.mark.parametrize("threshold", [1.01, -1.5, math.nan, "0.8", None, True])
def test_thresholds_out_of_range_are_refused(threshold: object) -> None:
    with pytest.raises(ConfigurationError, match="from -1 to 1"):
        SemanticAgreement(Embedding(), threshold=threshold)  # type: ignore[arg-type]


@pytest.mark.parametrize("vector", [(), (0.0, 0.0), (math.nan, 1.0), (math.inf, 1.0), None, ["a"]])
def test_a_broken_embedding_gives_no_label(vector: object) -> None:
    with pytest.raises(ScorerError, match="no vector of finite numbers"):
        SemanticAgreement(lambda text: vector)("q", "one", "other")


def test_vectors_of_two_lengths_give_no_label() -> None:
    with pytest.raises(ScorerError, match="of 1 and of 2 numbers"):
        SemanticAgreement(lambda text: [1.0] * len(text.split()))("q", "one", "two words")


def test_real_embeddings_tell_paraphrases_from_other_answers() -> None:
    from rag import embedding

    label = grader(SemanticAgreement(embedding()))
    reference = "The cat sat on the mat."
    assert label("q", "On the mat, there sat a cat.", reference) == 1.0
    assert label("q", "The stock market fell sharply.", reference) == 0.0
    assert label("q", "The package weighs 7 kg in total.", "In total the package weighs 8 kg.") == 0.0
    assert label("q", "The package weighs 8 kg in total.", "In total the package weighs 8 kg.") == 1.0


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("none at all", []),
        ("-3.5% and +2", ["-3.5", "2"]),
        ("$1,234,567.89 or 1.234567e3", ["1234567.89", "1.234567", "3"]),
        ("a 5-6 win", ["5", "6"]),
        ("７ or \u22127", ["7", "-7"]),
        ("3.0 is 3", ["3"]),
    ],
)
def test_amounts(text: str, numbers: list[str]) -> None:
    assert amounts(text) == frozenset(map(Decimal, numbers))


def test_it_imports_neither_frameworks_nor_numpy() -> None:
    program = "import sys, frugal_core.learning.semantic; assert not {'numpy', 'torch', 'langchain_core'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
