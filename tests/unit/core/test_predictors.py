"""Predictors: what they learn from queries alone, what they refuse, and that a file holds all of them but the embedding."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.evaluation.metrics import auroc
from frugal_core.predictors import (
    FactorisationPredictor,
    HybridPredictor,
    LearnedPredictor,
    NeighbourPredictor,
    PerformancePredictor,
    RandomPredictor,
    cross_fit,
)
from frugal_core.predictors.hybrid import best_relaxation
from frugal_core.predictors.query_features import QUERY_FEATURES, query_features, words_of
from frugal_core.predictors.standard import Standard
from frugal_core.predictors.table import Table
from frugal_core.predictors.view import QueryView, as_embed
from frugal_core.predictors.words import BUCKETS, WordDirections
from frugal_core.saving import decode, encode, load, save
from frugal_core.types import Message, Query, Tier, ToolCall

LEARNED = (PerformancePredictor, HybridPredictor, NeighbourPredictor, FactorisationPredictor)
MODELS = ("small", "large")
TOPICS = {"add": "Add the numbers {} and {} together.", "history": "Which king ruled after the battle of {} in {}?"}

every_kind = pytest.mark.parametrize("kind", LEARNED)


def query(text: str = "What is the capital of France?", **rest: Any) -> Query:
    return Query((Message("user", text),), (Tier("small"), Tier("large")), **rest)


def lesson(rows: int = 200, seed: int = 0) -> tuple[list[Query], np.ndarray]:
    """The small model is right on sums, seldom on history; the large one nearly always."""
    rng = random.Random(seed)
    queries, quality = [], []
    for _ in range(rows):
        topic = rng.choice(sorted(TOPICS))
        queries.append(query(TOPICS[topic].format(rng.randint(100, 9999), rng.randint(100, 9999))))
        chances = (0.95, 0.95) if topic == "add" else (0.1, 0.9)
        quality.append([float(rng.random() < chance) for chance in chances])
    return queries, np.array(quality)


def embed(text: str) -> list[float]:
    """A vector that tells the topics apart, among others."""
    return [float("king" in text), float("numbers" in text), len(text) / 100, 1.0]


@cache
def taught(kind: type[LearnedPredictor], embedded: bool = False) -> LearnedPredictor:
    return kind.fit(*lesson(), MODELS, embed=embed if embedded else None)


SUM, HISTORY = query("Add the numbers 1234 and 77 together."), query("Which king ruled after the battle of 1312 in 917?")


# --- surface features ---


def found(text: str, **rest: Any) -> dict[str, float]:
    return dict(zip(QUERY_FEATURES, query_features(query(text, **rest)), strict=True))


def test_surface_features_by_hand() -> None:
    values = found("Why is x = {1, 2.5}\nnot prime?", system="Be brief.", tools=[{"name": "f"}], response_format={})
    assert values["log characters"] == math.log1p(30)
    assert values["log words"] == math.log1p(5)
    assert values["mean word length"] == pytest.approx(14 / 5)
    assert values["share of distinct words"] == 1.0
    assert values["share of capitals"] == pytest.approx(1 / 30)
    assert values["share of digits"] == pytest.approx(3 / 30)
    assert values["share of code"] == pytest.approx(2 / 30)
    assert values["share of mathematics"] == pytest.approx(1 / 30)
    assert values["log numbers"] == math.log1p(3)
    assert values["log question marks"] == values["log lines"] == math.log1p(1)
    assert (values["asks how or why"], values["denies"]) == (1.0, 1.0)
    assert (values["asks which"], values["asks what, who, when or where"], values["has media"]) == (0.0, 0.0, 0.0)
    assert values["log characters of the system prompt"] == math.log1p(9)
    assert (values["log tools"], values["asks for a schema"]) == (math.log1p(1), 1.0)


def test_the_last_user_turn_counts_and_the_others_are_measured() -> None:
    turns = (
        Message("user", "Hello there"),
        Message("assistant", "Yes?", (ToolCall("f", {}),)),
        Message("user", "é", has_media=True),
    )
    values = dict(zip(QUERY_FEATURES, query_features(Query(turns, ())), strict=True))
    assert values["log characters"] == math.log1p(1)
    assert values["log turns"] == math.log1p(3)
    assert values["log characters of the other turns"] == math.log1p(15)
    assert values["has media"] == 1.0
    assert values["share beyond ASCII"] == 1.0


@pytest.mark.parametrize("text", ["", " ", "\ud800", "\x00\n", "🙂" * 50, "a" * 1_000_000, "1" * 50_000, "ß İ ǅ"])
def test_any_text_has_finite_features_of_the_same_number(text: str) -> None:
    values = query_features(query(text))
    assert len(values) == len(QUERY_FEATURES)
    assert all(map(math.isfinite, values))
    assert len(taught(PerformancePredictor)(query(text))) == 2


def test_no_message_at_all() -> None:
    assert len(query_features(Query((), ()))) == len(QUERY_FEATURES)


def test_features_and_directions_load_no_numpy() -> None:
    data = encode(taught(PerformancePredictor).view.words)
    program = (
        "import sys, json\nfrom frugal_core.saving import decode\nfrom frugal_core.types import Message, Query\n"
        "from frugal_core.predictors.query_features import query_features\n"
        "words = decode(json.load(sys.stdin))\nassert any(words('which king ruled'))\n"
        "query_features(Query((Message('user', 'hi'),), ()))\nassert 'numpy' not in sys.modules\nprint('light')"
    )
    done = subprocess.run([sys.executable, "-c", program], input=json.dumps(data), capture_output=True, text=True)
    assert done.stdout == "light\n", done.stderr


# --- words ---


def test_directions_tell_topics_apart_whatever_the_process() -> None:
    words = taught(PerformancePredictor).view.words
    assert words is not None
    sums, kings = np.array(words("Please add both numbers")), np.array(words("the king of that battle"))
    assert np.linalg.norm(sums - np.array(words("numbers together"))) < np.linalg.norm(sums - kings)
    assert words("zxqv") == [0.0] * words.size or len(words("zxqv")) == words.size
    assert words("") == [0.0] * words.size
    assert words_of("Don't") == [b"don", b"t"]


def test_rare_words_weigh_more_and_lone_ones_nothing() -> None:
    texts = [f"the {'king' if n < 8 else 'sum'} {'hapax' if n == 0 else ''}" for n in range(80)]
    words = WordDirections.fit(texts)
    assert words is not None
    squares = [words.table.rows[crc32(word) % BUCKETS][0] for word in (b"the", b"sum", b"king", b"hapax")]
    assert squares == pytest.approx([0.0, math.log(81 / 73) ** 2, math.log(81 / 9) ** 2, 0.0])


@pytest.mark.parametrize("texts", [[], ["one text"] * 19, ["", " "] * 20])
def test_too_little_text_gives_no_directions(texts: list[str]) -> None:
    assert WordDirections.fit(texts) is None


def test_directions_of_many_texts_are_learned_from_some_of_them() -> None:
    rng = random.Random(0)
    texts = [TOPICS[rng.choice(sorted(TOPICS))].format(n, n) for n in range(9000)]
    words = WordDirections.fit(texts)
    assert words is not None
    assert words.size >= 1


def test_directions_of_another_version_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=rf"3 rows of 2, not {BUCKETS} of 2 or more"):
        WordDirections(Table.of(np.zeros((3, 2))))


# --- tables ---


def test_a_table_is_what_was_saved() -> None:
    numbers = np.random.default_rng(0).standard_normal((5, 3))
    table = Table.of(numbers)
    again = decode(encode(table))
    assert again == table
    assert again.rows == table.rows
    assert (again.matrix == numbers.astype("<f4")).all()


@pytest.mark.parametrize(("width", "data"), [(2, "AAAA"), (0, ""), (1, "?"), (True, ""), (1, None), (1, "é")])
def test_a_table_that_was_changed_is_refused(width: Any, data: Any) -> None:
    with pytest.raises(ConfigurationError, match="table"):
        Table(width, data)


@pytest.mark.parametrize("matrix", [[[math.nan]], [1.0], [[math.inf, 0.0]]])
def test_a_table_holds_finite_rows(matrix: Any) -> None:
    with pytest.raises(ConfigurationError, match="finite numbers of shape"):
        Table.of(matrix)


def test_a_standard_is_whole_and_reaches_four_deviations_far() -> None:
    assert Standard.of([[0.0], [2.0]])([100.0]) == [4.0]
    assert Standard.of([[0.0], [2.0]])([-100.0]) == [-4.0]
    with pytest.raises(ConfigurationError, match="one mean and one scale"):
        Standard((0.0,), (0.0,))


# --- what they learn ---


@every_kind
@pytest.mark.parametrize("embedded", [False, True])
def test_the_small_model_is_trusted_with_sums_alone(kind: type[LearnedPredictor], embedded: bool) -> None:
    predictor = taught(kind, embedded)
    assert predictor.models == MODELS
    (sum_small, sum_large), (history_small, history_large) = predictor(SUM), predictor(HISTORY)
    assert sum_small > 0.8 > 0.4 > history_small
    assert min(sum_large, history_large) > 0.8
    assert all(0 <= value <= 1 for value in (*predictor(SUM), *predictor(HISTORY)))


@every_kind
def test_the_same_rows_teach_the_same(kind: type[LearnedPredictor]) -> None:
    assert kind.fit(*lesson(), MODELS) == taught(kind)


@every_kind
def test_estimates_out_of_fold_tell_right_from_wrong_and_know_nothing_of_their_own_row(kind: type[LearnedPredictor]) -> None:
    queries, quality = lesson()
    estimates = cross_fit(taught(kind), queries, quality)
    assert estimates.shape == (200, 2)
    area = auroc(estimates[:, 0], quality[:, 0])
    assert area is not None
    assert area > 0.85
    flipped = quality.copy()
    flipped[7] = 1 - flipped[7]
    again = cross_fit(taught(kind), queries, flipped)
    assert again[7] == pytest.approx(estimates[7], abs=1e-12)
    assert not np.allclose(again, estimates)


def test_equal_texts_stay_together() -> None:
    """A text asked twice with opposite grades: what is known of one must not come from the other."""
    queries, quality = lesson(100)
    estimates = cross_fit(taught(NeighbourPredictor), [*queries, *queries], np.vstack([quality, quality]))
    assert np.allclose(estimates[:100], estimates[100:])


def test_ungraded_answers_are_left_out() -> None:
    queries, quality = lesson()
    spoilt = np.vstack([quality, np.full((50, 2), math.nan)])
    more = [*queries, *[query(f"Add the numbers {n} and 2 together.") for n in range(50)]]
    for kind in LEARNED:
        small, large = kind.fit(more, spoilt, MODELS)(SUM)
        assert small > 0.75
        assert large > 0.75


def test_three_models_and_graded_quality() -> None:
    queries, quality = lesson()
    three = np.hstack([quality[:, :1] * 0.5, quality])
    for kind in (PerformancePredictor, NeighbourPredictor, FactorisationPredictor):
        values = kind.fit(queries, three, ("tiny", *MODELS))(SUM)
        assert values[0] == pytest.approx(0.5, abs=0.12)
        assert values[0] < values[1]


def test_the_number_of_neighbours_fits_the_grades() -> None:
    """Of grades by chance the mean of many errs least; of kinds of question with ten examples each, that of ten."""
    queries, quality = lesson(400)
    chance = np.random.default_rng(0).integers(0, 2, quality.shape).astype(float)
    assert NeighbourPredictor.fit(queries, chance, MODELS).count == 100
    kinds = [f"{'?' * (n // 12)} {'word ' * (n // 12)}" for n in range(480)]
    grades = np.array([[float(n // 12 % 2), 1.0] for n in range(480)])
    assert NeighbourPredictor.fit([query(text) for text in kinds], grades, MODELS).count == 10


def test_the_factorisation_shares_directions_between_models() -> None:
    predictor = taught(FactorisationPredictor)
    assert isinstance(predictor, FactorisationPredictor)
    assert len(predictor.projection) == 2 == len(predictor.vectors[0])
    place = [
        sum(a * b for a, b in zip(row, predictor.standard(predictor.view(SUM)), strict=True)) for row in predictor.projection
    ]
    odds = [math.log(value / (1 - value)) for value in predictor(SUM)]
    gap = sum((s - w) * x for s, w, x in zip(predictor.vectors[1], predictor.vectors[0], place, strict=True))
    assert odds[1] - odds[0] == pytest.approx(gap + predictor.biases[1] - predictor.biases[0])


# --- HybridLLM ---


def samples(rows: int = 120, seed: int = 3) -> tuple[list[Query], np.ndarray]:
    """Graded samples of a small model that is never quite as good: nearly so on sums, far worse on history."""
    rng = random.Random(seed)
    queries, quality = [], []
    for n in range(rows):
        topic = sorted(TOPICS)[n % 2]
        queries.append(query(TOPICS[topic].format(rng.randint(100, 9999), n)))
        small = 0.75 if topic == "add" else 0.3
        quality.append(
            [[small + rng.uniform(-0.02, 0.02) for _ in range(3)], [0.8 + rng.uniform(-0.02, 0.02) for _ in range(3)]]
        )
    return queries, np.array(quality)


def test_transformed_labels_tell_apart_what_the_others_cannot() -> None:
    queries, quality = samples()
    plain = HybridPredictor.fit(queries, quality, MODELS, kind="probabilistic")
    transformed = HybridPredictor.fit(queries, quality, MODELS, kind="transformed")
    assert plain(SUM)[0] < 0.1
    assert plain.relaxation == 0.0
    assert 0.05 < transformed.relaxation < 0.5
    assert transformed(SUM)[0] > 0.9 > 0.1 > transformed(HISTORY)[0]
    assert transformed(SUM)[1] == 1.0


def test_probabilistic_labels_count_pairs_and_deterministic_ones_compare_means() -> None:
    queries = [query(f"Question {n}") for n in range(40)]
    quality = np.tile([[[1.0, 0.0], [1.0, 0.0]]], (40, 1, 1))  # 3 of 4 pairs have small >= large; the means are equal
    assert HybridPredictor.fit(queries, quality, MODELS, kind="probabilistic")(queries[0])[0] == pytest.approx(0.75, abs=0.02)
    assert HybridPredictor.fit(queries, quality, MODELS, kind="deterministic")(queries[0])[0] > 0.9


def test_samples_that_nobody_graded_are_no_pairs() -> None:
    queries = [query(f"Question {n}") for n in range(40)]
    quality = np.tile([[[1.0, math.nan], [0.0, math.nan]]], (40, 1, 1))
    for kind in ("deterministic", "probabilistic", "transformed"):
        assert HybridPredictor.fit(queries, quality, MODELS, kind=kind)(queries[0])[0] > 0.9  # type: ignore[arg-type]


def test_right_and_wrong_give_the_same_labels_in_all_kinds() -> None:
    first, *others = [
        HybridPredictor.fit(*lesson(), MODELS, kind=kind) for kind in ("deterministic", "probabilistic", "transformed")
    ]  # type: ignore[arg-type]
    assert all(other.head == first.head for other in others)


def test_the_best_relaxation_is_that_of_a_search_by_hand() -> None:
    rng = np.random.default_rng(5)
    values = rng.uniform(0, 1, (30, 2, 2))
    lost = values[:, 1, None, :] - values[:, 0, :, None]

    def spread(t: float) -> float:
        labels = (lost <= t).mean(axis=(1, 2))
        return float(np.abs(labels[:, None] - labels[None, :]).mean())

    candidates = [0.0, *lost[lost > 0].tolist()]
    assert spread(best_relaxation(values)) == pytest.approx(max(map(spread, candidates)))


def test_hybrid_compares_two_models() -> None:
    queries, quality = lesson()
    with pytest.raises(ConfigurationError, match=r"3 models and quality of shape \(200, 3\): this predictor compares two"):
        HybridPredictor.fit(queries, np.hstack([quality, quality[:, :1]]), ("a", "b", "c"))
    with pytest.raises(ConfigurationError, match="kind='soft' must be \"deterministic\""):
        HybridPredictor.fit(queries, quality, MODELS, kind="soft")  # type: ignore[arg-type]


# --- chance ---


def test_chance_is_even_and_repeats_itself() -> None:
    predictor = RandomPredictor(MODELS)
    draws = np.array([predictor(query(f"Question {n}")) for n in range(2000)])
    assert ((draws >= 0) & (draws < 1)).all()
    assert draws.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.03)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.06
    assert predictor(SUM) == RandomPredictor(MODELS)(SUM)
    assert predictor(SUM) != RandomPredictor(MODELS, seed=1)(SUM)
    with pytest.raises(ConfigurationError, match="models='small'"):
        RandomPredictor("small")  # type: ignore[arg-type]


# --- embeddings ---


class LangChainLike:
    def embed_query(self, text: str) -> list[float]:
        return embed(text)


class LlamaIndexLike:
    def get_text_embedding(self, text: str) -> list[float]:
        return embed(text)


@pytest.mark.parametrize("give", [LangChainLike(), LlamaIndexLike(), embed])
def test_embeddings_of_either_framework_and_plain_functions_are_the_same(give: Any) -> None:
    predictor = PerformancePredictor.fit(*lesson(), MODELS, embed=give)
    assert predictor == taught(PerformancePredictor, True)
    assert predictor(SUM) == taught(PerformancePredictor, True)(SUM)


def test_each_text_is_embedded_once_per_fit_and_once_in_cross_fitting() -> None:
    seen: list[str] = []

    def counting(text: str) -> list[float]:
        seen.append(text)
        return embed(text)

    queries, quality = lesson(60)
    predictor = PerformancePredictor.fit(queries, quality, MODELS, embed=counting)
    assert len(seen) <= 2 * len(queries)
    seen.clear()
    cross_fit(predictor, queries, quality)
    assert sorted(seen) == sorted({one.text for one in queries})


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (3, "embed=3 must be a function"),
        (lambda text: [1.0] * (1 + len(text) % 2), "must have one length"),
        (lambda text: [], "must have one length"),
        (lambda text: [math.nan, 1.0], "not finite"),
    ],
)
def test_embeddings_that_are_none_are_refused(give: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PerformancePredictor.fit(*lesson(), MODELS, embed=give)


def test_of_an_embedding_the_directions_count_in_which_texts_differ_most() -> None:
    rng = np.random.default_rng(0)
    queries = [query(f"Question {n}") for n in range(100)]
    vectors = dict(zip([one.text for one in queries], rng.standard_normal((100, 30)) * [*[0.01] * 29, 5.0], strict=True))
    view = QueryView.fit(queries, lambda text: vectors[text].tolist())
    assert view.axes is not None
    assert view.axes.width == 2
    assert [abs(view.embedded(one)[0]) for one in queries] == pytest.approx([abs(v[29]) for v in vectors.values()], abs=0.1)


def test_an_embedding_of_one_number_will_do() -> None:
    assert QueryView.fit(lesson()[0], lambda text: [float(len(text))]).size > len(QUERY_FEATURES)
    assert as_embed(embed) is embed


# --- files ---


@every_kind
def test_a_file_holds_all_but_the_embedding(kind: type[LearnedPredictor], tmp_path: Path) -> None:
    save(taught(kind), tmp_path / "plain")
    loaded = load(tmp_path / "plain")
    assert loaded == taught(kind)
    assert [loaded(one) for one in (SUM, HISTORY)] == [taught(kind)(one) for one in (SUM, HISTORY)]
    with pytest.raises(ConfigurationError, match="learned without an embedding"):
        loaded.with_embedding(embed)
    save(taught(kind, True), tmp_path / "embedded")
    bare = load(tmp_path / "embedded")
    with pytest.raises(ScorerError, match=r"predictor\.with_embedding\(embed\)"):
        bare(SUM)
    with pytest.raises(ScorerError, match="gives 1 numbers, 4 were learned on"):
        bare.with_embedding(lambda text: [1.0])(SUM)
    assert bare.with_embedding(embed)(SUM) == taught(kind, True)(SUM)
    assert (tmp_path / "embedded").stat().st_size < 500_000


def test_the_random_predictor_is_saved(tmp_path: Path) -> None:
    save(RandomPredictor(MODELS, 3), tmp_path / "random")
    assert load(tmp_path / "random") == RandomPredictor(MODELS, 3)


@every_kind
def test_parts_that_do_not_fit_are_refused(kind: type[LearnedPredictor]) -> None:
    with pytest.raises(ConfigurationError, match="Learn it anew"):
        replace(taught(kind), models=("one",))  # type: ignore[type-var]


def test_nothing_changes_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        taught(PerformancePredictor).models = ()


# --- what they refuse ---


@every_kind
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda q, y, m: (q[:19], y[:19], m), "19 graded answers of small are too few"),
        (lambda q, y, m: (q, y[:-1], m), r"quality has shape \(199, 2\) for 200 queries|of shape \(199, 2\)"),
        (lambda q, y, m: (q, y + 0.5, m), "from 0 .wrong. to 1"),
        (lambda q, y, m: (q, y, ("same", "same")), "models=.* must be the models' names, each once"),
    ],
)
def test_bad_lessons_are_refused(kind: type[LearnedPredictor], spoil: Callable[..., Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        kind.fit(*spoil(*lesson(), MODELS))


@pytest.mark.parametrize("folds", [1, 0, True, 2.0])
def test_folds_are_parts(folds: Any) -> None:
    with pytest.raises(ConfigurationError, match="2 or more"):
        cross_fit(taught(PerformancePredictor), *lesson(), folds=folds)


def test_one_text_cannot_be_cross_fitted() -> None:
    with pytest.raises(ConfigurationError, match="1 different texts are too few"):
        cross_fit(taught(PerformancePredictor), [SUM] * 40, np.ones((40, 2)))
