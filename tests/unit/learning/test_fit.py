"""`fit`: the best policy for an objective, honestly compared; and the guarantee."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning.agreement_setting import agreement_setting
from frugal_core.learning.cascade_path import CascadeSearch
from frugal_core.learning.choice import Chosen
from frugal_core.learning.cross_validation import cross_validate
from frugal_core.learning.fit import fit
from frugal_core.learning.objective import Objective
from frugal_core.learning.path import Family, Path
from frugal_core.learning.recordings import Recordings
from frugal_core.learning.setting import Setting
from frugal_core.learning.singles import Singles
from frugal_core.policies import Cascade, Policy, Single
from frugal_core.scorers import Margin
from paths import check_path, check_replay
from recorded import simulated, write

QUICK: Sequence[Family] = (Singles(), CascadeSearch(depth=2))


def recorded_rows(rows: int = 400, models: int = 3, seed: int = 0, **extra: Any) -> list[dict[str, Any]]:
    """A simulated setting as rows of a file."""
    setting = simulated(rows, models, seed, texts=True)
    return [
        {
            "dataset": "simulated",
            "query_id": f"q{row:04}",
            "model": name,
            "split": "train" if row % 2 else "test",
            "query": setting.queries[row],
            "answer": setting.answers[row, place],
            "correct": float(setting.correct[row, place]),
            "margin": float(setting.score[row, place]),
            "cost_usd": float(setting.cost[row, place]),
            **extra,
        }
        for row in range(rows)
        for place, name in enumerate(setting.models)
    ]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> FilePath:
    return write(tmp_path_factory.mktemp("recordings") / "answers.jsonl", recorded_rows())


def live_cost_and_quality(policy: Policy, setting: Setting) -> tuple[float, float]:
    """By driving the policy over recorded answers, with the recorded signal."""
    from frugal_core.evaluation.replay import Replay
    from frugal_core.learning.recorded_answers import RecordedSignal

    inner = getattr(policy, "policy", policy)
    if isinstance(inner, Cascade):
        inner = Cascade(RecordedSignal(), inner.threshold, models=inner.models)
    outcomes = Replay(setting, range(len(setting.models)), np.ones(len(setting.train), dtype=bool)).run(inner)
    return float(outcomes.cost.mean()), float(outcomes.correct.mean())


# Objectives


def test_a_budget_is_kept_and_quality_bought_for_it(file: FilePath) -> None:
    policy = fit(file, budget_usd=30.0, families=QUICK)
    assert policy.family == "cascade"
    cost, quality = live_cost_and_quality(policy, simulated(4000, seed=7, texts=True))
    assert cost < 33
    cheap = simulated(4000, seed=7).correct[:, 1].mean()
    assert quality > cheap + 0.03


def test_a_quality_is_reached_for_less_than_the_best_model_costs(file: FilePath) -> None:
    policy = fit(file, quality=0.93, families=QUICK)
    fresh = simulated(4000, seed=8, texts=True)
    cost, quality = live_cost_and_quality(policy, fresh)
    assert quality > 0.915
    assert cost < 0.6 * fresh.cost[:, 2].mean()


def test_without_an_objective_it_is_the_best_quality(file: FilePath) -> None:
    policy = fit(file, families=QUICK)
    assert policy.objective == "the best quality"
    tried = [candidate for candidate in policy.candidates if candidate.reason is None]
    assert max(tried, key=lambda c: c.quality or 0).family == policy.family


def test_the_cheap_model_alone_is_a_candidate_and_wins_where_it_is_as_good() -> None:
    rows = [{**row, "correct": 1.0} if row["model"] == "m0" else row for row in recorded_rows(200)]
    policy = fit(recordings(rows), quality=0.97, families=QUICK)
    assert policy.policy == Single("m0")
    assert "single model" in policy.reason


def test_a_budget_nobody_keeps_gets_the_cheapest_and_says_so(file: FilePath) -> None:
    policy = fit(file, budget_usd=0.01, families=QUICK)
    assert policy.policy == Single("m0")
    assert "which none keeps" in policy.reason
    assert not policy.kept


def recordings(rows: Sequence[dict[str, Any]], tmp: FilePath | None = None) -> Recordings:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return Recordings.read([write(FilePath(folder) / "rows.jsonl", rows)])[0]


def test_what_a_family_cannot_learn_from_is_said_and_the_others_are_tried() -> None:
    rows = [{name: value for name, value in row.items() if name != "margin"} for row in recorded_rows(100)]
    policy = fit(recordings(rows))
    reasons = {candidate.family: candidate.reason for candidate in policy.candidates}
    assert "no signal was recorded" in str(reasons["cascade"])
    assert reasons["single model"] is None


def test_all_families_are_compared_by_default(file: FilePath) -> None:
    policy = fit(file, budget_usd=30.0, folds=2)
    assert [candidate.family for candidate in policy.candidates][:3] == [
        "single model",
        "cascade",
        "cascade on a learned score",
    ]
    for candidate in policy.candidates:
        assert candidate.reason is not None or (candidate.cost or 0) > 0
        assert candidate.reason is not None or 0 < (candidate.quality_error or 0) < 0.05


# Honesty of the comparison


@dataclass(frozen=True)
class Cheat:
    """Remembers the best model of every query it has seen: perfect in sample, worthless beyond."""

    name: str = "cheat"

    def fit(self, setting: Setting) -> Path:
        path = Singles().fit(setting)
        return replace(path, family=self.name, quality=np.ones(len(path.cost)))


def test_promises_do_not_count_only_answers_to_unseen_queries(file: FilePath) -> None:
    policy = fit(file, quality=0.9, families=[Singles(), CascadeSearch(depth=2), Cheat()])
    assert policy.family != "cheat"


def test_every_query_is_answered_by_what_was_learned_without_it() -> None:
    setting = simulated(60)
    seen: list[set[str]] = []

    @dataclass(frozen=True)
    class Spy:
        name: str = "spy"

        def fit(self, setting: Setting) -> Path:
            seen.append(set(map(str, setting.queries)))
            return Singles().fit(setting)

    named = replace(setting, queries=tuple(f"q{row}" for row in range(60)))
    trial = cross_validate([Spy()], named, folds=4)[0].trial(Objective("best"))
    assert len(trial.cost) == 60
    assert len(seen) == 4
    assert all(len(part) == 45 for part in seen)
    assert not set.intersection(*seen)


# The guarantee


def test_the_guarantee_holds_on_fresh_queries_in_nearly_all_runs() -> None:
    """At 80% confidence ten of twelve would do; what is certified is far from the bound more often than not."""
    fresh = simulated(1500, seed=99, texts=True)
    kept = 0
    for seed in range(12):
        policy = fit(
            recordings(recorded_rows(250, seed=seed)), max_disagreement=0.1, confidence=0.8, families=QUICK, folds=2, seed=seed
        )
        assert policy.guarantee is not None
        judged = agreement_setting(fresh, 2)
        _, agreement = live_cost_and_quality(policy, judged)
        kept += agreement >= 0.9
    assert kept >= 10


def test_what_is_certified_is_cheaper_than_the_reference_and_stands_in_the_file(tmp_path: FilePath) -> None:
    policy = fit(recordings(recorded_rows(600)), max_disagreement=0.1, families=QUICK)
    assert policy.guarantee is not None
    assert policy.guarantee.certified
    fresh = simulated(4000, seed=5, texts=True)
    cost, _ = live_cost_and_quality(policy, fresh)
    assert cost < 0.8 * fresh.cost[:, 2].mean()
    policy.save(tmp_path / "support.frugal")
    loaded = Policy.load(tmp_path / "support.frugal")
    assert loaded.guarantee == policy.guarantee  # type: ignore[attr-defined]
    assert str(loaded) == str(policy)
    assert loaded.version == policy.version
    assert json.loads((tmp_path / "support.frugal").read_text())["object"]["guarantee"]["rows"] == 240


@dataclass(frozen=True)
class OnlyCheapest:
    """Knows no better than the cheapest model."""

    name: str = "cheapest"

    def fit(self, setting: Setting) -> Path:
        return replace(Singles().fit(setting), cost=np.ones(1), quality=np.ones(1), chosen=(0,))


def test_where_nothing_passes_the_reference_is_served_and_it_says_so() -> None:
    policy = fit(recordings(recorded_rows(200)), max_disagreement=0.05, families=[OnlyCheapest()])
    assert policy.policy == Single("m2")
    assert policy.family == "reference"
    assert "Nothing cheaper is proved to differ from the reference at most 0.05" in str(policy)


def test_calibration_rows_have_no_say_in_who_the_reference_is() -> None:
    """Two models of about the same quality: the reference is the better one where nothing is proved afterwards."""
    rows, seed = 400, 3
    calibrating = set(np.random.default_rng(seed).permutation(rows)[:160].tolist())
    recorded = recorded_rows(rows)
    for row in recorded:
        learned_from = int(row["query_id"][1:]) not in calibrating
        row["correct"] = float(row["model"] == ("m1" if learned_from else "m2"))  # m1 is perfect there, m2 here
    policy = fit(recordings(recorded), max_disagreement=0.1, families=[Singles()], seed=seed)
    assert "The reference is m1;" in str(policy)
    assert "The reference is m2;" in str(
        fit(recordings(recorded), max_disagreement=0.1, families=[Singles()], seed=seed, reference="m2")
    )


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"100 queries leave 40 for calibration.*takes 149\. Record at least 373"):
        fit(recordings(recorded_rows(100)), max_disagreement=0.02, families=QUICK)


def test_answers_may_be_compared_as_texts() -> None:
    setting = simulated(50, texts=True)
    by_text = agreement_setting(setting, 2, "exact")
    same = setting.correct == setting.correct[:, [2]]
    assert (by_text.correct == same).all()
    by_label = agreement_setting(setting, 2)
    assert (by_label.correct == (setting.correct >= setting.correct[:, [2]])).all()
    assert (by_label.correct[:, 2] == 1).all()


def test_texts_that_were_not_recorded_cannot_be_compared() -> None:
    with pytest.raises(RecordingsError, match="answers of m0 were not recorded"):
        agreement_setting(simulated(50), 2, "exact")


# Bad input


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"budget_usd": 1.0, "quality": 0.5}, "budget_usd and quality contradict each other"),
        ({"budget_usd": 0}, "budget_usd=0 is out of range"),
        ({"quality": 1.5}, "quality=1.5 is out of range"),
        ({"max_disagreement": 0}, "max_disagreement=0 is out of range"),
        ({"max_disagreement": 0.1, "confidence": 1}, "confidence=1 is out of range"),
        ({"max_disagreement": 0.1, "reference": "gone"}, "reference='gone' is not among the recorded models: m0, m1, m2"),
        ({"folds": 1}, "folds=1 is out of range"),
        ({"dataset": "other"}, "has no dataset 'other'; it has simulated"),
        ({"models": ["m0", "gone"]}, "has no model 'gone'"),
    ],
)
def test_bad_arguments(file: FilePath, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigurationError, RecordingsError), match=says):
        fit(file, **arguments)


def test_several_datasets_must_be_told_apart(tmp_path: FilePath) -> None:
    rows = [*recorded_rows(30), *({**row, "dataset": "second"} for row in recorded_rows(40, seed=1))]
    path = write(tmp_path / "two.jsonl", rows)
    with pytest.raises(RecordingsError, match=r"has 2 datasets \(simulated, second\)"):
        fit(path)
    assert fit(path, dataset="second", families=[Singles()]).family == "single model"


def test_a_signal_nobody_can_measure_live_needs_its_scorer() -> None:
    rows = [{**{k: v for k, v in row.items() if k != "margin"}, "p_top1": row["margin"] or 0.01} for row in recorded_rows(60)]
    with pytest.raises(ConfigurationError, match=r"signal is 'p_top1'.*known \(it is for margin, logprobs\)"):
        fit(recordings(rows))
    policy = fit(recordings(rows), scorer=Margin(), families=[CascadeSearch(depth=2, scorer=Margin())])
    assert policy.needs_logprobs


def test_too_few_queries() -> None:
    with pytest.raises(RecordingsError, match="19 queries are too few to learn from: record at least 20"):
        fit(recordings(recorded_rows(19)))


# What it chooses at every budget


def test_the_path_of_all_budgets_is_what_fit_chooses_for_each() -> None:
    setting = simulated(200, texts=True)
    path = Chosen(tuple(QUICK), folds=3).fit(setting)
    check_path(path)
    check_replay(path, simulated(40, seed=3, texts=True), [0, len(path.cost) // 2, len(path.cost) - 1])
    rows = recordings(recorded_rows(200))
    for place in (0, len(path.cost) // 2, len(path.cost) - 1):
        chosen = fit(rows, budget_usd=float(path.cost[place]) * 1.000001, families=QUICK, folds=3, scorer=Margin())
        assert _plain(chosen.policy) == _plain(path.policy(place))


def _plain(policy: Policy) -> Any:
    return (policy.models, policy.threshold) if isinstance(policy, Cascade) else policy


# What measures a recorded signal


def with_scorers(rows: Sequence[dict[str, Any]], scorer: Any) -> list[dict[str, Any]]:
    return [{**row, "scorers": {"margin": scorer}} for row in rows]


def test_the_recorded_scorer_measures_live(tmp_path: FilePath) -> None:
    """Thresholds on one scorer mean nothing for another."""
    recorded = {"kind": "margin", "classes": None, "tokens": 8, "ignore_overlaps": True}
    path = write(tmp_path / "answers.jsonl", with_scorers(recorded_rows(), recorded))
    families = [CascadeSearch(depth=2, scorer=Margin(tokens=8))]
    assert "measured live by Margin(classes=None, tokens=8" in str(fit(path, budget_usd=30.0, families=families))
    assert fit(path, budget_usd=30.0, families=families, scorer=Margin(tokens=8)).family == "cascade"
    with pytest.raises(ConfigurationError, match=r"scorer=Margin\(classes=None, tokens=1.*is not what measured.*tokens=8"):
        fit(path, scorer=Margin())


@pytest.mark.parametrize("mixed", [False, True])
def test_a_signal_measured_by_code_or_by_several_needs_its_scorer(mixed: bool) -> None:
    rows = with_scorers(recorded_rows(60), {"kind": "margin", "tokens": 1} if mixed else None)
    if mixed:
        rows[0]["scorers"] = {"margin": {"kind": "margin", "tokens": 2}}
    with pytest.raises(ConfigurationError, match="what measures it in live answers is not known"):
        fit(recordings(rows))


def test_a_column_of_ones_own_is_read_from_the_file(tmp_path: FilePath) -> None:
    rows = [{**{k: v for k, v in row.items() if k != "margin"}, "mine": row["margin"]} for row in recorded_rows(60)]
    path = write(tmp_path / "answers.jsonl", rows)
    policy = fit(path, signal="mine", scorer=Margin(), families=[CascadeSearch(depth=2, scorer=Margin())])
    assert "Signal: mine" in str(policy)


def test_the_order_of_rows_makes_no_difference() -> None:
    rows = recorded_rows(400)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    one, other = (fit(recordings(part), max_disagreement=0.1, families=QUICK) for part in (rows, shuffled))
    assert one.guarantee == other.guarantee
    assert one.version == other.version


def test_answers_nobody_graded_are_said_to_be_ungraded() -> None:
    rows = [{**row, "correct": None} for row in recorded_rows(30)]
    with pytest.raises(RecordingsError, match=r"no answer has a label.*Grade the file first: grade\(path, labels\)"):
        fit(recordings(rows))


def test_all_right_in_thirty_is_not_certainty() -> None:
    rows = [{**row, "correct": 1.0} for row in recorded_rows(30)]
    candidate = fit(recordings(rows), families=[Singles()]).candidates[0]
    assert candidate.quality == 1.0
    assert candidate.quality_error is not None
    assert 0.02 < candidate.quality_error < 0.05


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"families": ["cascade"]}, "families has 'cascade': give objects"), ({"signal": "gone"}, "signal column 'gone'")],
)
def test_more_bad_arguments(file: FilePath, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigurationError, RecordingsError), match=says):
        fit(file, **arguments)


def test_a_list_of_one_will_do(file: FilePath) -> None:
    found: Any = Recordings.read([file])
    assert fit(found, families=[Singles()]).family == "single model"
    with pytest.raises(ConfigurationError, match="2 recordings were given"):
        fit([*found, *found], families=[Singles()])  # type: ignore[arg-type]
