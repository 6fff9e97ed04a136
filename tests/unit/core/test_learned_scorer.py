"""Scorers that are learned, and calibration on top of any: what they know, what they refuse, and that it is true."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core_builders import ask, says, token
from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.learning.calibration import Calibration, Form, brier, calibration_error
from frugal_core.learning.logistic import folds_of
from frugal_core.policies import Cascade
from frugal_core.saving import encode, load, save
from frugal_core.scorers import (
    Calibrated,
    LearnedScorer,
    LogprobQuantile,
    Margin,
    MeanLogprob,
    MinLogprob,
    SchemaValid,
    Scorer,
)
from frugal_core.scorers.base import Scored, ScoreFunction, Scoring
from frugal_core.scorers.features import QUANTILES, feature_names, features_of
from frugal_core.types import Answer, Call, Message, Query, Tier, TokenLogprob

TIERS = (Tier("small"), Tier("large"))


def query(text: str = "What is the capital of France?", **rest: Any) -> Query:
    return Query((Message("user", text),), TIERS, **rest)


def sure(p: float, tokens: int = 1, **rest: Any) -> Answer:
    """An answer whose first token has probability p and one rival; the others are certain."""
    first = token("Paris", ("Rome", 1 - p), p=p)
    return says(logprobs=(first, *[token(".", ("!", 0.001), p=0.999)] * (tokens - 1)), **rest)


def lesson(rows: int = 200, seed: int = 0) -> tuple[list[Query], list[Answer], list[float]]:
    """Answers that are right as often as the first token is probable."""
    rng = random.Random(seed)
    probabilities = [rng.uniform(0.5, 0.99) for _ in range(rows)]
    answers = [sure(p, rng.choice([1, 3, 9])) for p in probabilities]
    queries = [query(f"Question number {n}?") for n in range(1000, 1000 + rows)]
    return queries, answers, [float(rng.random() < p) for p in probabilities]


@cache
def taught() -> LearnedScorer:
    return LearnedScorer.fit(*lesson())


def number(scorer: ScoreFunction, *given: Any) -> float:
    score = scorer(*given)
    assert isinstance(score, float)
    return score


# --- what it learns ---


def test_surer_answers_score_higher_and_scores_are_probabilities() -> None:
    scores = [number(taught(), query(), sure(p)) for p in (0.5, 0.6, 0.7, 0.8, 0.9, 0.99)]
    assert all(a < b for a, b in pairwise(scores))
    queries, answers, correct = lesson(2000, seed=1)
    held = [number(taught(), *pair) for pair in zip(queries, answers, strict=True)]
    assert calibration_error(held, correct) < 0.08
    assert brier(held, correct) < brier([0.75] * 2000, correct)


def test_a_surer_answer_never_scores_lower_whatever_it_learned_from() -> None:
    for seed in range(20):
        queries, answers, _ = lesson(60, seed)
        rng = random.Random(seed)
        scorer = LearnedScorer.fit(queries, answers, [float(rng.random() < 0.5) for _ in answers])
        for tokens in (1, 3, 9):
            scores = [number(scorer, query(), sure(p, tokens)) for p in (0.5, 0.6, 0.7, 0.8, 0.9, 0.99)]
            assert all(a <= b + 1e-12 for a, b in pairwise(scores))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (says("a" * 3), says("a" * 300)),
        (says(finish_reason="stop"), says(finish_reason="length")),
        (says(finish_reason="stop"), says(finish_reason="tool_calls")),
        (says(finish_reason="stop"), says(finish_reason="content_filter")),
        (says(finish_reason="stop"), says()),
        (says(), says(parsing_error="no JSON")),
        (sure(0.9), says()),
        (sure(0.9, usage=None), sure(0.9, 30, usage=None)),
        (says(tier=1), says(tier=0)),
    ],
    ids=["length", "cut off", "tools", "filter", "unknown end", "unparsable", "no log-probabilities", "tokens", "model"],
)
def test_every_kind_of_sign_is_seen(right: Answer, wrong: Answer) -> None:
    queries = [query(f"Question number {n}?") for n in range(100, 180)]
    scorer = LearnedScorer.fit(queries, [right, wrong] * 40, [1, 0] * 40)
    assert number(scorer, query("Question number 300?"), right) > 0.8
    assert number(scorer, query("Question number 300?"), wrong) < 0.2


def test_the_length_of_the_query_is_seen() -> None:
    queries = [query("x" * (1000 if n % 2 else 10) + str(100 + n)) for n in range(80)]
    scorer = LearnedScorer.fit(queries, [says()] * 80, [0, 1] * 40)
    assert number(scorer, query("x" * 1000), says()) > 0.8 > 0.2 > number(scorer, query("y" * 10), says())


def test_a_weak_spot_in_the_middle_of_an_answer_is_seen_where_its_first_token_is_sure() -> None:
    def written(weak: float) -> Answer:
        return says(
            logprobs=[token("a", ("b", 0.01), p=0.99), token("c", ("d", 1 - weak), p=weak), token("e", ("f", 0.1), p=0.9)]
        )

    queries = [query(f"Question number {n}?") for n in range(100, 180)]
    scorer = LearnedScorer.fit(queries, [written(0.95), written(0.5)] * 40, [1, 0] * 40)
    assert number(scorer, queries[0], written(0.95)) > 0.8 > 0.2 > number(scorer, queries[0], written(0.5))


def test_the_quantiles_are_those_of_the_scorer_for_one() -> None:
    rng = np.random.default_rng(0)
    for tokens in (1, 2, 7, 50):
        logprobs = [TokenLogprob("t", float(value)) for value in np.log(rng.random(tokens))]
        answer = says(logprobs=logprobs)
        values, known = features_of(query(), answer, (), ())
        found = dict(zip(feature_names((), ()), values, strict=True))
        assert known == [True]
        logs = [token.logprob for token in logprobs]
        for quantile in QUANTILES:
            assert found[f"log-probability quantile {quantile:g}"] == pytest.approx(np.quantile(logs, quantile))
        least, mean = MinLogprob()(query(), answer), MeanLogprob()(query(), answer)
        assert least is not None
        assert mean is not None
        assert found["transformed least probability"] == pytest.approx(-math.log(1 - least))
        assert found["transformed mean probability"] == pytest.approx(-math.log(1 - mean))
        assert found["has log-probabilities"] == 1


def test_other_scorers_serve_as_signals() -> None:
    queries, answers, correct = lesson()
    scorer = LearnedScorer.fit(queries, answers, correct, signals=(Margin(classes=["Paris", "Rome"]), LogprobQuantile(0.2)))
    assert number(scorer, query(), sure(0.95)) > number(scorer, query(), sure(0.55))
    assert {name.split(" signal")[0] for name in scorer.weights() if "signal" in name} == {"transformed", "has"}
    alone = LearnedScorer.fit(queries, answers, correct, signals=())
    assert number(alone, query(), sure(0.95)) > number(alone, query(), sure(0.55))


def test_graded_labels_are_shares_and_ungraded_rows_are_left_out() -> None:
    queries, answers, correct = lesson()
    more = queries + [query()] * 3, answers + [sure(0.5)] * 3
    assert LearnedScorer.fit(*more, [*correct, None, None, math.nan]) == taught()
    half = LearnedScorer.fit(queries, answers, [0.5] * 200)
    assert number(half, query(), sure(0.9)) == pytest.approx(0.5)


def test_the_same_answers_teach_the_same_and_it_never_changes() -> None:
    again = LearnedScorer.fit(*lesson())
    assert again == taught()
    assert hash(again) == hash(taught())
    with pytest.raises(FrozenInstanceError):
        again.direction = (1.0,)  # type: ignore[misc]


# --- a missing signal is never confidence ---


def test_an_answer_without_the_signals_all_others_had_gives_no_signal() -> None:
    assert taught().required == (True, True)
    assert taught()(query(), says()) is None
    assert taught()(query(), says(logprobs=[TokenLogprob("Paris", -0.1)])) is None  # a log-probability, but no margin
    assert taught()(query(), says(logprobs=[TokenLogprob("Paris", 0.7, (("Paris", 0.7), ("Rome", -1.0)))])) is None
    decision, _ = ask(Cascade(taught(), 0.01), says(), says("Rome"))
    assert decision.tier == "tier1"
    assert decision.steps[0].reason == "no_signal"


@pytest.mark.parametrize("lacking", [0, 19, 20])
def test_twenty_answers_without_a_signal_tell_what_its_absence_means(lacking: int) -> None:
    queries, answers, correct = lesson()
    silent = [replace(answer, logprobs=()) if n < lacking else answer for n, answer in enumerate(answers)]
    wrong = [0.0 if n < lacking else label for n, label in enumerate(correct)]
    score = LearnedScorer.fit(queries, silent, wrong)(query(), says())
    assert (score is None) == (lacking < 20)
    if isinstance(score, float):
        assert score < 0.4 < sum(wrong) / 200


def test_learned_without_any_it_rests_on_what_there_is_and_asks_for_none() -> None:
    queries = [query(f"Question number {n}?") for n in range(100, 180)]
    answers = [says("short", finish_reason="stop"), says("long " * 50, finish_reason="length")] * 40
    scorer = LearnedScorer.fit(queries, answers, [1, 0] * 40)
    assert number(scorer, query(), answers[0]) > 0.8
    assert number(scorer, query(), replace(answers[0], logprobs=sure(0.6).logprobs)) == number(scorer, query(), answers[0])
    assert not scorer.needs_logprobs
    assert not Cascade(scorer, 0.5).needs_logprobs
    assert taught().needs_logprobs


def test_impossible_tokens_and_endless_answers_are_no_more_than_the_worst_it_knows() -> None:
    strange = [
        sure(0.5, 1000),
        says(logprobs=[TokenLogprob("a", -math.inf, (("a", -math.inf), ("b", -0.1)))]),
        says("x" * 10**6, logprobs=sure(1 - 1e-12).logprobs),
        says(logprobs=[TokenLogprob("a", 1e-9, (("a", 1e-9), ("b", -20.0)))]),
        says(logprobs=[TokenLogprob("a", 0, (("a", 0), ("b", -20)))]),
    ]
    scores = [number(taught(), query(), answer) for answer in strange]
    assert all(0 < score < 1 for score in scores)
    assert max(scores[:2]) < min(scores[2:])


def test_a_model_it_does_not_know_is_a_model_like_any() -> None:
    queries = [query(f"Question number {n}?") for n in range(100, 180)]
    scorer = LearnedScorer.fit(queries, [says(tier=n % 2) for n in range(80)], [0, 1] * 40)
    assert scorer.models == ("large", "small")
    unknown = Query(queries[0].messages, (Tier("other"),))
    assert number(scorer, unknown, says()) == pytest.approx(0.5, abs=0.01)
    assert number(scorer, Query(queries[0].messages, ()), says()) == pytest.approx(0.5, abs=0.01)


# --- out of fold ---


def test_out_of_fold_scores_are_of_scorers_that_saw_no_answer_to_the_query() -> None:
    """Each query twice: whoever saw the one answer's label could tell the other's from an embedding. Nobody may."""
    rng = np.random.default_rng(0)
    vectors = {f"Question {n}": rng.normal(size=40) for n in range(100)}

    def embed(text: str) -> Sequence[float]:
        return list(vectors.get(text, np.zeros(40)))

    queries = [query(f"Question {n // 2}") for n in range(200)]
    labels = np.repeat(rng.integers(0, 2, 100), 2).astype(float)
    answers = [says()] * 200
    fitted = LearnedScorer.fit(queries, answers, labels.tolist(), embed=embed, penalty=0.01)
    inside = [number(fitted, q, says()) for q in queries]
    outside = LearnedScorer.cross_fit(queries, answers, labels.tolist(), embed=embed, penalty=0.01)
    assert brier(inside, labels) < 0.22
    assert brier(outside, labels) > 0.25
    assert (outside[::2] == outside[1::2]).all()
    chosen = LearnedScorer.fit(queries, answers, labels.tolist(), embed=embed)
    assert chosen.model.penalty >= 100  # there is nothing to learn, whatever answers to the same query may say of one another


def test_out_of_fold_scores_come_from_fits_on_the_other_queries() -> None:
    queries, answers, correct = lesson(60)
    answers[5] = replace(answers[5], logprobs=())
    outside = LearnedScorer.cross_fit(queries, answers, correct, folds=3)
    parts = folds_of(range(60), 3)
    for part in range(3):
        others = [n for n in range(60) if parts[n] != part]
        scorer = LearnedScorer.fit([queries[n] for n in others], [answers[n] for n in others], [correct[n] for n in others])
        for n in set(range(60)) - set(others):
            score = scorer(queries[n], answers[n])
            assert math.isnan(outside[n]) if score is None else outside[n] == pytest.approx(score)
    assert np.flatnonzero(np.isnan(outside)).tolist() == [5]


def test_ungraded_answers_are_scored_all_the_same() -> None:
    queries, answers, correct = lesson(100)
    outside = LearnedScorer.cross_fit(queries, answers, [None, *correct[1:]])
    assert not np.isnan(outside).any()


# --- embeddings ---


def meaning(text: str) -> list[float]:
    """Two numbers that tell hard questions from easy ones, and one that tells nothing."""
    return [float("hard" in text), float(len(text) % 3), 1.0]


def embedded() -> LearnedScorer:
    queries = [query(f"A {'hard' if n % 2 else 'easy'} question number {n}?") for n in range(100, 200)]
    return LearnedScorer.fit(queries, [says()] * 100, [1, 0] * 50, embed=meaning)


def test_embeddings_of_the_query_and_of_the_answer_are_seen() -> None:
    scorer = embedded()
    assert number(scorer, query("An easy one?"), says()) > 0.8 > 0.2 > number(scorer, query("A hard one?"), says())
    answers = [says("hard to say" if n % 2 else "easily said") for n in range(100)]
    scorer = LearnedScorer.fit([query(f"Question {n}") for n in range(100, 200)], answers, [1, 0] * 50, embed=meaning)
    assert number(scorer, query(), answers[0]) > 0.8 > 0.2 > number(scorer, query(), answers[1])


def test_each_text_is_embedded_once_in_fitting() -> None:
    seen: list[str] = []

    def embed(text: str) -> list[float]:
        seen.append(text)
        return meaning(text)

    queries, answers, correct = lesson(40)
    LearnedScorer.fit(queries, answers, correct, embed=embed)
    assert len(seen) == len(set(seen)) == 41


def test_the_embedding_is_not_saved_is_asked_for_and_given_again(tmp_path: Path) -> None:
    scorer = embedded()
    save(scorer, tmp_path / "s")
    loaded = load(tmp_path / "s")
    assert loaded.embed is None
    with pytest.raises(ScorerError, match="with_embedding"):
        loaded(query(), says())
    decision, _ = ask(Cascade(loaded, 0.5), says(), says())
    assert decision.tier == "tier1"
    assert "with_embedding" in str(decision.steps[0].error)
    given = loaded.with_embedding(meaning)
    for text in ("An easy one?", "A hard one?"):
        assert number(given, query(text), says()) == number(scorer, query(text), says())
    with pytest.raises(ScorerError, match=r"gives 4 numbers .* 6"):
        loaded.with_embedding(lambda text: [0.0, 1.0])(query(), says())
    with pytest.raises(ConfigurationError, match="needs none"):
        taught().with_embedding(meaning)


def test_an_embedding_wider_than_there_are_rows_does_not_learn_them_by_heart() -> None:
    rng = np.random.default_rng(0)
    rows: dict[str, list[float]] = {}

    def embed(text: str) -> Sequence[float]:
        return rows.setdefault(text, rng.normal(size=300).tolist())

    queries = [query(f"Question {n}") for n in range(100, 200)]
    labels = rng.integers(0, 2, 100).astype(float).tolist()
    scorer = LearnedScorer.fit(queries, [says()] * 100, labels, embed=embed)
    fresh = [number(scorer, query(f"Other {n}"), says()) for n in range(100, 200)]
    assert np.abs(np.array(fresh) - 0.5).max() < 0.35
    assert len(scorer.direction) == 600


# --- on disk, and in a cascade ---


def test_a_cascade_with_it_is_saved_and_decides_alike(tmp_path: Path) -> None:
    for scorer in (taught(), taught() & SchemaValid(), Calibrated.fit(Margin(), *lesson()), Calibrated(taught(), curve())):
        policy = Cascade(scorer, 0.7)
        policy.save(tmp_path / "p")
        loaded = Cascade.load(tmp_path / "p")
        assert loaded.scorer == scorer
        assert loaded.identity == policy.identity
        assert loaded.needs_logprobs
        for p in (0.55, 0.75, 0.85, 0.98):
            assert ask(loaded, sure(p), says())[0] == ask(policy, sure(p), says())[0]


def test_a_fresh_program_loads_it_without_knowing_of_it(tmp_path: Path) -> None:
    Cascade(taught().or_else(Calibrated(Margin(), curve())), 0.7).save(tmp_path / "p")
    code = f"""
from frugal_core.policies import Policy
from frugal_core.types import Answer, Message, Query, TokenLogprob
policy = Policy.load({str(tmp_path / "p")!r})
said = TokenLogprob("Paris", -0.2, (("Paris", -0.2), ("Rome", -2.0)))
print(repr(policy.scorer(Query((Message("user", "Where?"),), ()), Answer("Paris", logprobs=(said,)))))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, env=env)
    said = TokenLogprob("Paris", -0.2, (("Paris", -0.2), ("Rome", -2.0)))
    expected = taught()(Query((Message("user", "Where?"),), ()), Answer("Paris", logprobs=(said,)))
    assert float(done.stdout) == expected


def test_a_file_holds_numbers_and_names(tmp_path: Path) -> None:
    save(taught(), tmp_path / "s")
    data = json.loads((tmp_path / "s").read_text(encoding="utf-8"))["object"]
    assert data["kind"] == "learned_scorer"
    assert data["signals"][0]["kind"] == "margin"
    assert set(data["model"]) == {"intercept", "weights", "means", "low", "high", "penalty"}
    with pytest.raises(ConfigurationError, match="cannot be saved"):
        encode(LearnedScorer.fit(*lesson(), signals=(lambda query, answer: 0.5,)))


@pytest.mark.parametrize(
    ("name", "value"), [("required", [True]), ("models", ["a", "b"]), ("signals", []), ("direction", [1.0]), ("model", {})]
)
def test_a_changed_file_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    save(taught(), tmp_path / "s")
    data = json.loads((tmp_path / "s").read_text(encoding="utf-8"))
    data["object"][name] = value
    (tmp_path / "s").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigurationError):
        load(tmp_path / "s")


# --- what is refused ---


class Asks(Scorer):
    """Asks once more; half sure if the answer is the same."""

    def __call__(self, query: Query, answer: Answer) -> Scoring:
        again = yield Call(answer.tier, query, purpose="score")
        return 0.5 if again.text == answer.text else None


def test_what_does_not_fit_is_refused() -> None:
    queries, answers, correct = lesson(40)
    with pytest.raises(ConfigurationError, match="39 queries, 40 answers and 40 labels"):
        LearnedScorer.fit(queries[1:], answers, correct)
    with pytest.raises(ConfigurationError, match=r"19 graded answers .* at least 20"):
        LearnedScorer.fit(queries, answers, [*correct[:19], *[None] * 21])
    with pytest.raises(ConfigurationError, match=r"correct has 1\.5"):
        LearnedScorer.fit(queries, answers, [1.5, *correct[1:]])
    with pytest.raises(ConfigurationError, match="makes calls"):
        LearnedScorer.fit(queries, answers, correct, signals=(Asks(),))
    with pytest.raises(ScorerError, match="returned 2"):
        LearnedScorer.fit(queries, answers, correct, signals=(lambda query, answer: 2.0,))
    with pytest.raises(ConfigurationError, match="penalty"):
        LearnedScorer.fit(queries, answers, correct, penalty=-1.0)
    for folds in (1, 2.5):
        with pytest.raises(ConfigurationError, match="folds"):
            LearnedScorer.cross_fit(queries, answers, correct, folds=folds)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="one query"):
        LearnedScorer.cross_fit([query()] * 40, answers, correct)
    with pytest.raises(ConfigurationError, match="one length"):
        LearnedScorer.fit(queries, answers, correct, embed=lambda text: [1.0] * len(text))
    with pytest.raises(ConfigurationError, match="not finite"):
        LearnedScorer.fit(queries, answers, correct, embed=lambda text: [math.nan])


# --- calibration on top ---


def curve() -> Calibration:
    return Calibration("isotonic", "one_sided", (0.0, 1.0), (0.25, 0.75), 100)


def test_any_score_is_calibrated_and_no_score_stays_none() -> None:
    margin = number(Margin(), query(), sure(0.9))
    assert number(Calibrated(Margin(), curve()), query(), sure(0.9)) == pytest.approx(0.25 + margin / 2)
    assert Calibrated(Margin(), curve())(query(), says()) is None
    assert Calibrated(lambda query, answer: 1.0, curve())(query(), says()) == 0.75
    for nonsense in (2.0, "high", math.nan):
        with pytest.raises(ScorerError):
            Calibrated(lambda query, answer, nonsense=nonsense: nonsense, curve())(query(), says())


def test_a_scorer_that_asks_is_calibrated_when_it_has_its_answer() -> None:
    decision, script = ask(Cascade(Calibrated(Asks(), curve()), 0.45), says("Paris"), says("Rome"))
    assert decision.steps[1].score == pytest.approx(0.5) or decision.steps[0].score == pytest.approx(0.5)
    assert script.asked == [0, 0]
    with pytest.raises(ConfigurationError, match="makes calls"):
        Calibrated.fit(Asks(), *lesson(40))


def test_it_needs_and_applies_to_what_its_scorer_does() -> None:
    assert Calibrated(Margin(), curve()).needs_logprobs
    assert not Calibrated(SchemaValid(), curve()).needs_logprobs
    structured = query(response_format={"type": "object"})
    for asked in (query(), structured):
        assert Calibrated(SchemaValid(), curve()).applies(asked, says("{}")) == SchemaValid().applies(asked, says("{}"))
    assert Calibrated(lambda query, answer: 1.0, curve()).applies(query(), says())


def test_fitting_leaves_out_rows_without_score_or_grade() -> None:
    queries, answers, correct = lesson(100)
    one = Calibrated.fit(Margin(), queries, answers, correct)
    more = Calibrated.fit(Margin(), [*queries, query(), query()], [*answers, says(), sure(0.9)], [*correct, 1.0, None])
    assert more == one
    assert one.calibration.rows == 100
    assert one.calibration.method == "logistic"
    assert Calibrated.fit(Margin(), queries, answers, correct, form="two_sided").calibration.form == "two_sided"


def test_what_is_no_scorer_or_calibration_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be a scorer"):
        Calibrated("margin", curve())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="must be a Calibration"):
        Calibrated(Margin(), {"xs": [1.0]})  # type: ignore[arg-type]


# --- recorded answers of real models ---

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[4] / "shared" / "data")


def p_true(query: Query, answer: Answer) -> Scored:
    """The recorded P(True), in the answer's `raw`."""
    value: float | None = answer.raw
    return value


def recorded(name: str) -> dict[str, dict[str, tuple[list[Query], list[Answer], list[float]]]]:
    """By model (nine of them at most) and split: queries, answers with their signals, and whether they are right."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name}: set FRUGAL_DATA to the folder of recorded answers")
    found: dict[str, dict[str, tuple[list[Query], list[Answer], list[float]]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["model"] not in found and len(found) == 9:
                continue
            if row["margin"] is not None:  # log-probabilities of the options A to F
                top = tuple(sorted(zip("ABCDEF", row["logprobs"], strict=True), key=lambda item: -item[1]))
                logprobs, confidence = [TokenLogprob(*top[0], top)], None
            else:
                logprobs = [TokenLogprob(row["answer"], value) for value in row["logprobs"] or ()]
                logp = row["confidence_logp"]
                confidence = math.exp(logp) if logp is not None else 0.0 if row["confidence_neg_inf"] else None
            queries, answers, correct = found.setdefault(row["model"], {}).setdefault(row["split"], ([], [], []))
            queries.append(Query((Message("user", row["query"]),), (Tier(row["model"]),)))
            answers.append(Answer(row["answer"] or "", logprobs=tuple(logprobs), raw=confidence))
            correct.append(float(row["correct"]))
    return found


@pytest.mark.parametrize(
    ("name", "signal", "form"),
    [
        ("vlm_uncertainty/mmbench.jsonl.gz", Margin(), "one_sided"),
        ("zellinger/mmlu.jsonl.gz", p_true, "one_sided"),
        ("zellinger/truthfulqa.jsonl.gz", p_true, "two_sided"),
        ("zellinger/triviaqa.jsonl.gz", p_true, "two_sided"),
    ],
)
def test_on_real_models_both_tell_the_truth_where_the_raw_signal_does_not(name: str, signal: ScoreFunction, form: Form) -> None:
    """Held-out rows of each model; means over models."""
    measured = []
    for splits in recorded(name).values():
        lessons, (queries, answers, correct) = splits["train"], splits["test"]
        scorers: list[ScoreFunction] = [
            signal,
            Calibrated.fit(signal, *lessons, form=form),
            LearnedScorer.fit(*lessons, signals=(signal,)),
        ]
        row = []
        for scorer in scorers:
            scores = [scorer(*pair) for pair in zip(queries, answers, strict=True)]
            p = np.array([math.nan if score is None else score for score in scores], dtype=float)
            row += [brier(p, correct), calibration_error(p, correct)]
        measured.append(row)
    raw, raw_error, calibrated, error, learned, learned_error = np.mean(measured, axis=0)
    assert calibrated < 0.9 * raw
    assert learned < 0.9 * raw
    assert error < 0.45 * raw_error
    assert learned_error < 0.45 * raw_error
    each = np.array(measured)
    assert (each[:, 2] < each[:, 0]).mean() >= 0.85
    assert (each[:, 4] < each[:, 0]).mean() >= 0.85


def test_a_tier_is_known_by_its_name_or_by_its_models() -> None:
    """Two tiers may be the same model with other settings: `record` tells them apart by name."""
    from frugal_core.scorers.features import model_name
    from frugal_core.types import Answer, Message, Query, Tier

    query = Query((Message("user", "?"),), (Tier("gpt-4o", "gpt-4o"), Tier("gpt-4o-2", "gpt-4o"), Tier("mine", "o3")))
    answers = [Answer("", tier=tier) for tier in range(3)]
    assert [model_name(query, answer, ("gpt-4o", "gpt-4o-2", "o3")) for answer in answers] == ["gpt-4o", "gpt-4o-2", "o3"]
    assert [model_name(query, answer) for answer in answers] == ["gpt-4o", "gpt-4o-2", "mine"]
    assert model_name(query, Answer("", tier=3)) is None
