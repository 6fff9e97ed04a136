import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import RecordingsError
from frugal_core.evaluation.evaluate import evaluate, whole_cascade
from frugal_core.evaluation.replay import RecordedSignal, Replay
from frugal_core.evaluation.search import best_options, cascade_means, options, threshold_grids
from frugal_core.learning import Recordings
from frugal_core.learning.setting import prepare
from frugal_core.policies import Cascade, RandomRouter, Single
from recorded import four_queries, row, settings, unhurried, write

levels = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 1.0])


def prepared(tmp_path, rows, columns=(), **options):
    (recordings,) = Recordings.read([write(tmp_path / "r.jsonl", rows)], columns)
    return prepare(recordings, **options)


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("correct", "cost", "calls"))


def direct(setting, members, row, thresholds):
    """What a cascade does with one query, by its definition."""
    cost = 0.0
    for place, model in enumerate(members):
        cost += setting.cost[row, model]
        if place == len(members) - 1:
            break
        cost += setting.scoring[row, model]
        score = setting.score[row, model]
        if not math.isnan(score) and score >= thresholds[place]:
            break
    return setting.correct[row, model], cost, [int(i <= place) for i in range(len(members))]


# --- replay ---


@unhurried
@given(settings(), st.data())
def test_a_curve_of_many_thresholds_equals_driving_the_policy_each_time(setting, data):
    members = data.draw(st.permutations(range(len(setting.models))))
    rows = np.arange(len(setting.train))
    replay = Replay(setting, members, rows)
    for _ in range(data.draw(st.integers(1, 5))):
        thresholds = data.draw(st.tuples(*[levels] * (len(members) - 1)))
        assert same(replay.cascade(thresholds), Replay(setting, members, rows).run(Cascade(RecordedSignal(), thresholds)))


@unhurried
@given(settings(), st.data())
def test_replay_equals_the_definition_of_a_cascade(setting, data):
    members = list(range(len(setting.models)))
    thresholds = data.draw(st.tuples(*[levels] * (len(members) - 1)))
    outcomes = Replay(setting, members, ~setting.train).cascade(thresholds)
    for place, query in enumerate(np.flatnonzero(~setting.train)):
        correct, cost, calls = direct(setting, members, query, thresholds)
        assert outcomes.correct[place] == correct
        assert outcomes.cost[place] == pytest.approx(cost)
        assert outcomes.calls[place].tolist() == calls


@unhurried
@given(settings())
def test_a_single_model_is_what_was_recorded(setting):
    for model in range(len(setting.models)):
        outcomes = Replay(setting, [model], setting.train).run(Single(0))
        assert np.array_equal(outcomes.correct, setting.correct[setting.train, model])
        assert np.array_equal(outcomes.cost, setting.cost[setting.train, model])


@unhurried
@given(settings(models=2))
def test_thresholds_escalate_ever_more(setting):
    replay = Replay(setting, [0, 1], ~setting.train)
    calls = [replay.cascade([threshold]).calls[:, 1].sum() for threshold in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert calls == sorted(calls)


def test_random_routing_is_the_straight_line(tmp_path):
    rows = [
        row(f"{split}{i}", model, split=split, correct=int(i % period == 0), margin=0.5, cost_usd=cost)
        for split in ("train", "test")
        for i in range(2000)
        for model, period, cost in (("small", 4, 1.0), ("large", 1, 5.0))
    ]
    replay = Replay(setting := prepared(tmp_path, rows), [0, 1], ~setting.train)
    outcomes = replay.run(RandomRouter(0.3, seed=1))
    share = outcomes.calls[:, 1].mean()
    assert share == pytest.approx(0.3, abs=0.05)
    assert outcomes.cost.mean() == pytest.approx(1 + share * 4)
    assert outcomes.correct.mean() == pytest.approx(0.25 + share * 0.75, abs=0.03)


# --- search on train ---


@unhurried
@given(settings())
def test_means_by_prefix_sums_equal_driving_every_cascade(setting):
    members = list(range(len(setting.models)))
    grids = threshold_grids(setting, members)
    costs, accuracies = cascade_means(setting, members, grids)
    replay = Replay(setting, members, setting.train)
    for place, thresholds in enumerate(itertools.islice(itertools.product(*grids), 40)):
        outcomes = replay.cascade(thresholds)
        assert costs.ravel()[place] == pytest.approx(outcomes.cost.mean())
        assert accuracies.ravel()[place] == pytest.approx(outcomes.correct.mean())


@unhurried
@given(settings())
def test_the_best_options_are_as_good_as_any(setting):
    candidates = options(setting, list(range(len(setting.models))))
    best = best_options(candidates)
    for candidate in candidates:
        assert any(option.cost <= candidate.cost and option.accuracy >= candidate.accuracy for option in best)


# --- whole evaluations ---


def test_evaluation_by_hand(tmp_path):
    report = evaluate(prepared(tmp_path, four_queries()))
    assert [(single.model, single.accuracy, single.cost) for single in report.singles] == [
        ("small", 0.5, 1.0),
        ("large", 0.75, 4.0),
    ]
    assert report.best_single.model == "large"
    assert report.cheapest_single.model == "small"
    (policy,) = report.policies
    assert policy.models == ("small", "large")
    assert [(point.cost, point.accuracy) for point in policy.curve] == [(1.0, 0.5), (2.0, 0.75), (3.0, 1.0)]
    assert policy.auc == pytest.approx(2.5 / 3)
    assert policy.auc_plain == pytest.approx(2.375 / 3)
    assert policy.auc_random == pytest.approx(0.625)
    assert policy.beats_random
    assert policy.cost_at_best_single == 2.0
    assert policy.chosen.calls == (1.0, 0.25)
    assert policy.chosen.thresholds == (0.2,)


def test_thresholds_come_from_train_alone(tmp_path):
    rows = four_queries()
    setting = prepared(tmp_path, rows)
    flipped = [{**r, "correct": 1 - r["correct"]} if r["split"] == "test" else r for r in rows]
    (one,), (other,) = evaluate(setting).policies, evaluate(prepared(tmp_path, flipped)).policies
    assert [point.thresholds for point in one.curve] == [point.thresholds for point in other.curve]
    assert one.curve != other.curve


@unhurried
@given(settings())
def test_reports_are_consistent(setting):
    report = evaluate(setting)
    costs = {single.model: single.cost for single in report.singles}
    for policy in report.policies:
        assert [point.cost for point in policy.curve] == sorted(point.cost for point in policy.curve)
        accuracies = [point.accuracy for point in policy.curve]
        if policy.auc is not None:
            assert min(accuracies) - 1e-9 <= policy.auc <= max(accuracies) + 1e-9
            assert costs[policy.models[0]] < costs[policy.models[-1]]
        for point in policy.curve:
            assert 0 < sum(point.calls) <= len(policy.models)


def test_every_pair_and_the_best_triple(tmp_path):
    rows = []
    for split in ("train", "test"):
        for i in range(8):
            for model, right, cost, margin in (
                ("a", i < 4, 1, i < 4),
                ("b", i < 6, 3, i < 6),
                ("c", True, 9, 1),
                ("bad", i < 3, 5, 0),
            ):
                rows.append(row(f"{split}{i}", model, split=split, correct=int(right), cost_usd=cost, margin=float(margin)))
    report = evaluate(prepared(tmp_path, rows))
    assert {policy.models for policy in report.policies} == {("a", "b"), ("a", "c"), ("b", "c"), ("bad", "c"), ("a", "b", "c")}


def test_without_signal_there_are_only_single_models(tmp_path):
    rows = [{**r, "margin": None} for r in four_queries()]
    setting = prepared(tmp_path, rows)
    assert evaluate(setting).policies == ()
    assert any(note.startswith("no signal") for note in setting.notes)


def test_missing_signals_are_escalated_and_told(tmp_path):
    rows = four_queries()
    rows[-2]["margin"] = None
    setting = prepared(tmp_path, rows)
    assert Replay(setting, [0, 1], ~setting.train).cascade([0.0]).calls.tolist() == [[1, 0], [1, 0], [1, 0], [1, 1]]
    assert any("1 of 16 answers without margin" in note for note in setting.notes)


def test_an_empty_answer_is_left_behind_unscored(tmp_path):
    rows = four_queries(answer="yes")
    rows[-2]["answer"] = ""
    setting = prepared(tmp_path, rows)
    assert Replay(setting, [0, 1], ~setting.train).cascade([0.0]).calls[-1].tolist() == [1, 1]


# --- costs ---


def test_verification_is_charged_to_the_cascade_that_asks_for_it(tmp_path):
    rows = [
        {
            **r,
            "margin": None,
            "confidence_logp": math.log(r["margin"] or 0.5),
            "cost_answer_usd": r["cost_usd"],
            "cost_usd": r["cost_usd"] + 0.5,
        }
        for r in four_queries()
    ]
    setting = prepared(tmp_path, rows)
    assert "scoring them" in setting.cost_source
    assert Replay(setting, [0], ~setting.train).run(Single(0)).cost.tolist() == [1.0] * 4
    assert Replay(setting, [0, 1], ~setting.train).cascade([0.15]).cost.tolist() == [1.5, 5.5, 1.5, 1.5]


def test_a_signal_that_comes_with_the_answer_is_free(tmp_path):
    rows = [{**r, "cost_answer_usd": r["cost_usd"], "cost_usd": r["cost_usd"] + 0.5} for r in four_queries()]
    setting = prepared(tmp_path, rows)
    assert setting.cost_source == "cost_answer_usd"
    assert Replay(setting, [0, 1], ~setting.train).cascade([0.0]).cost.tolist() == [1.0] * 4


def costless(**small_and_large):
    names = {"small": small_and_large.pop("small", "small"), "large": small_and_large.pop("large", "large")}
    return [{**r, "cost_usd": None, "model": names[r["model"]], **small_and_large} for r in four_queries()]


def test_list_price_and_recorded_tokens(tmp_path):
    rows = costless(small="gpt-4o-mini", large="gpt-4o", prompt_tokens=1000, completion_tokens=100)
    setting = prepared(tmp_path, rows)
    assert setting.cost_source == "list price x recorded tokens"
    assert setting.cost[0].tolist() == pytest.approx([1000 * 0.15e-6 + 100 * 0.6e-6, 1000 * 2.5e-6 + 100 * 10e-6])


def test_list_price_and_counted_tokens(tmp_path):
    setting = prepared(tmp_path, costless(small="gpt-4o-mini", large="gpt-4o", query="What is it?", answer="It is four."))
    assert "estimated" in setting.cost_source
    assert (setting.cost[:, 0] < setting.cost[:, 1]).all()


def test_sizes(tmp_path):
    setting = prepared(tmp_path, costless(), sizes={"small": 7, "large": 70})
    assert setting.cost[0].tolist() == [7.0, 70.0]
    assert setting.cost_source == "in proportion to --sizes"
    assert setting.unit.startswith("model size")


def test_size_column(tmp_path):
    rows = [{**r, "params_b": 3 if r["model"] == "small" else 30} for r in costless()]
    assert prepared(tmp_path, rows).cost[0].tolist() == [3.0, 30.0]


def test_a_vote_over_samples_costs_all_of_them(tmp_path):
    rows = [{**r, "samples": ["a", "a", "b"]} if r["model"] == "small" else r for r in costless()]
    setting = prepared(tmp_path, rows, sizes={"small": 7, "large": 70})
    assert setting.cost[0].tolist() == [21.0, 70.0]


def test_models_without_cost_are_left_out(tmp_path):
    rows = four_queries()
    rows += [row(r["query_id"], "free", split=r["split"], margin=0.3) for r in rows if r["model"] == "small"]
    setting = prepared(tmp_path, rows)
    assert setting.models == ("small", "large")
    assert setting.notes[0].startswith("left out for want of a cost: free")
    with pytest.raises(RecordingsError, match=r"no cost \(cost_usd\) for free"):
        prepared(tmp_path, rows, models=["small", "free", "large"])


def test_chance_is_the_most_frequent_right_answer(tmp_path):
    rows = four_queries()
    for r in rows:
        r["reference"] = "A" if r["query_id"][-1] in "012" else "B"
    assert prepared(tmp_path, rows).chance == 0.75
    assert prepared(tmp_path, four_queries()).chance is None


# --- what is refused, and how ---


def test_no_cost(tmp_path):
    with pytest.raises(RecordingsError, match=r"tiny: no cost .* Give --sizes small=B large=B"):
        prepared(tmp_path, costless())


@pytest.mark.parametrize(("split", "seen"), [("train", "8 train and 0 test"), ("test", "0 train and 8 test")])
def test_no_split(tmp_path, split, seen):
    with pytest.raises(RecordingsError, match=f"tiny: has {seen} queries"):
        evaluate(prepared(tmp_path, [{**r, "split": split} for r in four_queries()]))


def test_missing_signal_column(tmp_path):
    with pytest.raises(RecordingsError, match=r"no row has a value in the signal column 'p_top1'. Signals it has: margin"):
        prepared(tmp_path, four_queries(), signal="p_top1")


def test_one_model(tmp_path):
    with pytest.raises(RecordingsError, match=r"has 1 model \(small\)"):
        prepared(tmp_path, [r for r in four_queries() if r["model"] == "small"])


def test_from_dear_to_cheap(tmp_path):
    with pytest.raises(RecordingsError, match="Name the cheapest model first"):
        whole_cascade(prepared(tmp_path, four_queries(), models=["large", "small"]))


def test_no_signal_where_one_decides(tmp_path):
    rows = [{**r, "margin": 0.5 if r["model"] == "large" else None} for r in four_queries()]
    with pytest.raises(RecordingsError, match="small has no margin on the train split"):
        whole_cascade(prepared(tmp_path, rows, models=["small", "large"]))
