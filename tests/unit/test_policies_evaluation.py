import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluated import OPTIONAL, Always, Listed, Page, Unable, made_up
from frugal_core.cli import main
from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.evaluation.families import FIT, chosen_families
from frugal_core.evaluation.held_out import Fold, folds_for, held_out, learn, losses
from frugal_core.evaluation.policies import evaluate_policies
from frugal_core.evaluation.policy_figures import RANDOM
from frugal_core.evaluation.policy_report import headline
from frugal_core.evaluation.preparation import CALLS, ready
from frugal_core.evaluation.replay import Replay
from frugal_core.evaluation.report import amount
from frugal_core.learning import Recordings
from frugal_core.learning.calibration import calibration_error
from frugal_core.learning.cascade_path import CascadeSearch
from frugal_core.learning.choice import Chosen
from frugal_core.learning.learned_cascade import LearnedCascade
from frugal_core.learning.routing import Routing
from frugal_core.learning.singles import Singles
from recorded import four_queries, settings, unhurried, write


def read(tmp_path, rows):
    (recordings,) = Recordings.read([write(tmp_path / "r.jsonl", rows)])
    return recordings


@pytest.fixture
def setting(tmp_path):
    return ready(read(tmp_path, made_up()))


def by_name(report):
    return {family.name: family for family in report.families}


# --- the curve of a family ---


@unhurried
@given(settings(), st.integers(0, 3), st.integers(2, 4))
def test_a_single_model_pooled_over_folds_is_that_model_on_all_queries(setting, model, folds):
    model %= len(setting.models)
    report = evaluate_policies(setting, [Always(model)], folds=folds, resamples=5)
    family = by_name(report)["always"]
    assert report.tested == len(setting.correct)
    assert family.chosen.cost == pytest.approx(setting.cost[:, model].mean())
    assert family.chosen.quality == pytest.approx(setting.correct[:, model].mean())
    assert family.chosen.calls == pytest.approx(np.eye(len(setting.models))[model])
    assert report.singles[model].quality == pytest.approx(family.chosen.quality)


def test_below_the_cheapest_policy_the_cheapest_single_model_serves(setting):
    (dear,) = (f for f in evaluate_policies(setting, [Always(2)], resamples=5).families if f.name == "always")
    test = ~setting.train
    assert (dear.curve[0].cost, dear.curve[0].quality) == pytest.approx((0.001, setting.correct[test, 0].mean()))
    assert dear.curve[-1].quality == pytest.approx(setting.correct[test, 2].mean())
    # so its area is that of the straight line between the two
    assert dear.area == pytest.approx((dear.curve[0].quality + dear.curve[-1].quality) / 2)


def test_a_fold_whose_policies_are_all_too_dear_serves_the_cheapest_single_model(setting):
    folds, _ = folds_for(setting, 2)
    paths = [Always(0).fit(setting), Always(2).fit(setting)]
    held = held_out(paths, setting, folds, losses(setting, 2), 10)
    assert held.budget[:-1].tolist() == pytest.approx([0.001, 0.001, 0.016])
    assert held.calls[:-1].tolist() == [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.0, 0.5]]


def test_paths_whose_expected_quality_does_not_rise(setting):
    """Within a budget the best counts, not the dearest; so it does where none is expected to match the best single model."""
    folds = [Fold(setting.train, ~setting.train)]
    path = Listed(setting.models, np.array([0.001, 0.004, 0.016]), np.array([0.1, 0.3, 0.2]), (0, 1, 2))
    held = held_out([path], setting, folds, losses(setting, 2), 10)
    assert held.calls[-2].tolist() == [0.0, 1.0, 0.0]
    assert held.calls[-1].tolist() == [0.0, 1.0, 0.0]


def test_no_budget_is_passed(tmp_path):
    recordings = read(tmp_path, made_up(60))
    setting = ready(recordings)
    report = evaluate_policies(setting, [Singles(), CascadeSearch()], resamples=5)
    singles = by_name(report)["single model"]
    assert all(point.cost <= point.budget * (1 + 1e-9) for point in singles.curve)  # costs are alike on either side
    assert len({point.cost for point in singles.curve}) == 3


def test_each_fold_serves_what_it_expects_to_be_best_within_the_budget(setting):
    folds = [Fold(setting.train, ~setting.train)]
    (path,) = learn(CascadeSearch(), setting, folds)
    held = held_out([path], setting, folds, losses(setting, 2), 1000)
    replayed = path.replay(setting.rows(~setting.train))
    for row, budget in enumerate(held.budget[1:-1], 1):
        within = path.cost <= budget * (1 + 1e-9)
        best = int(np.argmax(np.where(within, path.quality, -1)))
        assert held.cost[row] == pytest.approx(replayed.cost[best])
    wanted = setting.correct[setting.train].mean(axis=0).max()
    matching = next((i for i in np.argsort(path.cost) if path.quality[i] >= wanted - 1e-9), int(np.argmax(path.quality)))
    assert held.quality[-1] == pytest.approx(replayed.quality[matching])


def test_budgets_are_thinned_from_the_cheapest_to_the_dearest(setting):
    folds = [Fold(setting.train, ~setting.train)]
    paths = learn(CascadeSearch(), setting, folds)
    every = held_out(paths, setting, folds, losses(setting, 2), 1000)
    few = held_out(paths, setting, folds, losses(setting, 2), 3)
    assert len(every.budget) > len(few.budget) >= 3
    assert few.budget[-2] == every.budget[-2] == pytest.approx(paths[0].cost.max())


# --- what is learned from is not what is measured on ---


def test_nothing_is_replayed_that_was_learned_from(setting):
    for folds in (None, 2, 7):
        report = evaluate_policies(setting, [Always(1, memory=True)], folds=folds, resamples=5)
        assert report.skipped == ()
        assert report.tested == (20 if folds is None else 40)


def test_queries_with_the_same_text_stay_on_one_side(tmp_path):
    rows = [{**row, "query": f"text {int(row['query_id'][1:]) // 4}"} for row in made_up()]
    setting = ready(read(tmp_path, rows))
    folds, _ = folds_for(setting, 5)
    for fold in folds:
        sides = {
            text: {bool(test) for test, other in zip(fold.test, setting.queries, strict=True) if other == text}
            for text in setting.queries
        }
        assert all(len(side) == 1 for side in sides.values())
    assert sum(fold.test.sum() for fold in folds) == 40


def test_more_folds_than_different_queries(tmp_path):
    rows = [{**row, "query": f"text {int(row['query_id'][1:]) // 20}"} for row in made_up()]
    report = evaluate_policies(ready(read(tmp_path, rows)), [Singles()], folds=5, resamples=5)
    assert report.split == "2-fold cross-validation"
    assert "5 folds were asked for: there are only 2 different queries" in report.notes


def test_one_sided_files_are_cross_validated_and_say_so(tmp_path):
    for side in ("train", "test"):
        report = evaluate_policies(
            ready(read(tmp_path, [{**row, "split": side} for row in made_up()])), [Singles()], resamples=5
        )
        assert report.split == "5-fold cross-validation"
        assert report.notes[0].startswith(f"every query is in the {side} split")


@pytest.mark.parametrize(("folds", "points", "resamples"), [(1, 60, 5), (0, 60, 5), (None, 1, 5), (None, 60, 0)])
def test_settings_out_of_range(setting, folds, points, resamples):
    with pytest.raises(ConfigurationError):
        evaluate_policies(setting, [Singles()], folds=folds, points=points, resamples=resamples)


# --- measures ---


def test_random_routing(setting):
    random = by_name(evaluate_policies(setting, [Singles()], folds=4, resamples=50))[RANDOM]
    assert random.apgr == pytest.approx(0.5)
    assert (random.cpt50, random.cpt80) == pytest.approx((0.5, 0.8))
    assert random.gain == 0
    assert random.gain_interval.low == random.gain_interval.high == 0
    assert random.curve[0].calls == (1.0, 0.0, 0.0)
    assert random.chosen.calls == (0.0, 0.0, 1.0)
    assert random.cost_at_best == pytest.approx(setting.cost[:, 2].mean())
    assert random.cost_at_minus < random.cost_at_best


def test_an_oracle_that_never_asks_the_dear_model(setting):
    report = evaluate_policies(setting, [Always(2, cheat=True)], folds=4, resamples=50)
    oracle, best = by_name(report)["always"], report.best_single
    assert oracle.apgr == pytest.approx(1.0)
    assert (oracle.cpt50, oracle.cpt80) == (0.0, 0.0)
    assert oracle.area == pytest.approx(best.quality)
    assert oracle.cost_at_best == pytest.approx(setting.cost[:, 0].mean())
    assert oracle.gain == pytest.approx((best.quality - report.singles[0].quality) / 2)


def test_disagreement_by_text_and_without(tmp_path, setting):
    assert report_of(setting).compared.startswith("answers")
    right = setting.correct == 1
    same = setting.answers == setting.answers[:, [2]]
    expected = ~(same | (right & right[:, [2]]))
    assert losses(setting, 2).differs == pytest.approx(expected.astype(float))
    assert 0 < expected[:, 0].mean() < 1
    bare = ready(read(tmp_path, [{**row, "answer": None} for row in made_up()]))
    assert report_of(bare).compared.startswith("grades")
    assert losses(bare, 2).differs == pytest.approx(np.abs(bare.correct - bare.correct[:, [2]]))


def report_of(setting):
    return evaluate_policies(setting, [Singles()], resamples=5)


def test_two_right_answers_agree_however_they_are_worded(setting):
    worded = setting.answers.copy()
    worded[:, 0] = "It comes to this: " + setting.answers[:, 0]
    loss = losses(replace(setting, answers=worded), 2)
    both = (setting.correct[:, 0] == 1) & (setting.correct[:, 2] == 1)
    assert (loss.differs[:, 0] == ~both).all()
    assert (loss.worse[:, 0] == np.maximum(setting.correct[:, 2] - setting.correct[:, 0], 0)).all()


def test_intervals_hold_the_estimates(setting):
    report = evaluate_policies(setting, [Singles(), CascadeSearch()], folds=5, resamples=300)
    for family in report.families[1:]:
        assert family.area_interval.low < family.area < family.area_interval.high
        assert family.gain_interval.low < family.gain < family.gain_interval.high
        assert family.cost_at_best is None or family.cost_at_best_interval.low <= family.cost_at_best + 1e-12
    for single in report.singles:
        assert single.quality_interval.low < single.quality < single.quality_interval.high


def test_calibration_error_of_learned_estimates(tmp_path):
    setting = ready(read(tmp_path, made_up(80)))
    report = evaluate_policies(setting, [Singles(), Routing(), LearnedCascade()], resamples=5)
    families = by_name(report)
    assert families["single model"].calibration_error is None
    test = setting.rows(~setting.train)
    for family in (Routing(), LearnedCascade()):
        path = family.fit(setting.rows(setting.train))
        estimates = path.probabilities(test)
        assert estimates.shape == (40, 3)
        expected = calibration_error(estimates.ravel(), test.correct.ravel())
        assert families[family.name].calibration_error == pytest.approx(expected)


def test_the_same_again_is_the_same(setting):
    one, other = (evaluate_policies(setting, [CascadeSearch()], folds=3, resamples=20) for _ in range(2))
    assert [replace(family, seconds=0) for family in one.families] == [replace(family, seconds=0) for family in other.families]


def test_the_order_of_rows_makes_no_difference(tmp_path):
    rows = made_up()
    one = evaluate_policies(ready(read(tmp_path, rows)), [CascadeSearch()], folds=3, resamples=20)
    turned = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    other = evaluate_policies(ready(read(tmp_path, turned)), [CascadeSearch()], folds=3, resamples=20)
    assert [f.area for f in one.families] == pytest.approx([f.area for f in other.families])


# --- families that cannot, and the choice among them ---


def test_a_family_that_cannot_is_skipped_with_its_reason(setting):
    report = evaluate_policies(setting, [Unable(), Singles()], resamples=5)
    assert report.skipped == (("unable", "There are no texts. Record them."),)
    assert list(by_name(report)) == [RANDOM, "single model"]


def test_what_fit_chooses_replays_as_its_policies_do(setting):
    rows, test = setting.rows(setting.train), ~setting.train
    chosen = Chosen((Singles(), CascadeSearch())).fit(rows)
    replayed = chosen.replay(setting.rows(test))
    for place in range(len(chosen.cost)):
        driven = Replay(setting, range(3), test).run(chosen.policy(place))
        assert replayed.cost[place] == pytest.approx(driven.cost)
        assert replayed.quality[place] == pytest.approx(driven.correct)
        assert replayed.calls[place] == pytest.approx(driven.calls.mean(axis=0))


def test_families_by_name():
    assert [family.name for family in chosen_families(["cascade,single"])] == ["single", "cascade"]
    everything = chosen_families(["all"])
    assert everything[-1].name == FIT
    assert list(everything[-1].families) == everything[:-1]
    (alone,) = chosen_families(["fit"])
    assert len(alone.families) == len(everything) - 1
    assert [family.name for family in chosen_families(["fit", "cascade"])[-1].families] == ["cascade"]


# --- guarantees ---


def test_a_guarantee_is_measured_on_held_out_queries(tmp_path):
    rows = made_up(400, ("small", "large"))
    for row in rows:  # the small model errs in 8 of the 200 test queries, and in no other
        row["correct"] = int(row["model"] == "large" or int(row["query_id"][1:]) % 50 > 0)
    setting = ready(read(tmp_path, rows))
    kept, broken = evaluate_policies(setting, [Singles()], resamples=5, max_disagreements=[0.1, 0.039]).promises
    assert (kept.certified, kept.folds, kept.reason) == (1, 1, None)
    assert kept.disagreement == pytest.approx(0.04)
    assert (kept.kept, kept.coverage, kept.cost, kept.quality) == (True, 1.0, pytest.approx(0.001), pytest.approx(0.96))
    assert broken.kept is False


def test_too_few_queries_for_a_guarantee(setting):
    (promise,) = evaluate_policies(setting, [Singles()], resamples=5, max_disagreements=[0.01]).promises
    assert promise.kept is None
    assert "299" in promise.reason


# --- files that lack something ---


def test_one_model(tmp_path):
    report = evaluate_policies(ready(read(tmp_path, made_up(models=["only"]))), [Singles(), CascadeSearch()], resamples=5)
    assert [single.model for single in report.singles] == ["only"]
    assert by_name(report)[RANDOM].area is None
    assert by_name(report)[RANDOM].apgr is None


def test_without_costs_every_call_counts_one(tmp_path):
    rows = [{**row, "cost_usd": None, "params_b": None} for row in made_up()]
    setting = ready(read(tmp_path, rows))
    assert setting.unit == CALLS
    assert (setting.cost == 1).all()
    assert "every call counts 1" in setting.notes[0]
    sized = ready(read(tmp_path, rows), sizes={"small": 1, "middle": 8, "large": 70})
    assert sized.cost[0].tolist() == [1, 8, 70]


def test_an_unknown_signal_is_still_an_error(tmp_path):
    with pytest.raises(RecordingsError, match="no row has a value in the signal column 'p_top1'"):
        ready(read(tmp_path, made_up()), signal="p_top1")


def test_nothing_graded(tmp_path):
    with pytest.raises(RecordingsError, match=r"none of its 120 answers is graded\. Grade the file with frugal grade"):
        ready(read(tmp_path, [{**row, "correct": None} for row in made_up()]))


def test_a_sparse_model_is_left_out_and_named(tmp_path):
    rows = [row for row in made_up() if row["model"] != "middle" or int(row["query_id"][1:]) < 10]
    setting = ready(read(tmp_path, rows))
    assert setting.models == ("small", "large")
    assert "middle" in setting.notes[0]
    assert len(setting.correct) == 40
    with pytest.raises(RecordingsError, match="answered different queries"):
        ready(read(tmp_path, rows), models=["small", "middle"])


# --- the command ---


def evaluated(capsys, *arguments):
    status = main(["evaluate", "--recordings", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, " ".join(captured.err.split())


def whole(tmp_path, capsys, rows, *arguments):
    """Evaluate everything; the JSON, and the page as text and as parsed."""
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    path = write(tmp_path / "r.jsonl", rows)
    status, out, err = evaluated(capsys, path, "--policies", "all", "--json", file, "--html", page, *arguments)
    assert (status, err) == (0, "")
    text = page.read_text(encoding="utf-8")
    parsed = Page.read(text)
    assert "http" not in text
    assert parsed.outside == []
    assert not {"script", "link", "img", "iframe"} & parsed.tags
    assert "nan" not in text
    return json.loads(file.read_text(encoding="utf-8")), text, out


def test_everything_is_reported(tmp_path, capsys):
    report, page, out = whole(tmp_path, capsys, made_up(), "--folds", "2", "--max-disagreement", "0.3", "--budget-points", "9")
    (dataset,) = report["datasets"]
    assert dataset["split"] == "2-fold cross-validation"
    assert (dataset["n_learn"], dataset["n_test"]) == (20, 40)
    assert (dataset["best_single"], dataset["reference"], dataset["cheapest_single"]) == ("large", "large", "small")
    names = [family["name"] for family in dataset["families"]]
    assert names[0] == RANDOM
    assert names[-1] == FIT
    assert {"single", "threshold", "cascade"} < set(names)
    for family in dataset["families"]:
        assert len(family["curve"]) <= 21
        assert {"area", "apgr", "cpt50", "cpt80", "cost_at_best", "cost_at_minus", "share_of_best_single"} < set(family)
        assert len(family["chosen"]["calls"]) == 3
        for name in names:
            assert name in page
            assert name in out
    assert np.array(dataset["mpi"]).shape == (3, 3)
    assert dataset["guarantees"][0]["max_disagreement"] == 0.3
    assert page.count("<svg") == 2
    assert "Guarantees" in page
    assert "Guarantees" in out


@pytest.mark.parametrize("seed", range(8))
def test_whatever_columns_are_missing_it_runs(tmp_path, capsys, seed):
    draw = np.random.default_rng(seed)
    gone = [name for name in OPTIONAL if draw.random() < 0.5]
    models = [f"m{i}" for i in range(int(draw.integers(1, 4)))]
    rows = [{name: value for name, value in row.items() if name not in gone} for row in made_up(24, models, seed=seed)]
    if seed % 3 == 0:  # single values as well
        rows = [{**row, **{name: None for name in OPTIONAL if draw.random() < 0.1}} for row in rows]
    report, _, _ = whole(tmp_path, capsys, rows)
    (dataset,) = report["datasets"]
    assert dataset["n_learn"] + dataset["n_test"] == 24
    assert "single" in [family["name"] for family in dataset["families"]]


@pytest.mark.parametrize(
    "rows",
    [
        made_up(2),
        made_up(30, graded=True),
        made_up(24, [f"model {i}" for i in range(16)]),
        [{**row, "split": "test"} for row in made_up(12)],
        [{**row, "cost_usd": 0.0} for row in made_up(20)],
        [{**row, "correct": 1} for row in made_up(20)],
        [{**row, "margin": 0.5} for row in made_up(20)],
        four_queries(),
    ],
    ids=["two queries", "graded", "16 models", "only test", "free", "all right", "signal without information", "four"],
)
def test_odd_files(tmp_path, capsys, rows):
    report, _, _ = whole(tmp_path, capsys, rows)
    assert len(report["datasets"]) == 1


def test_a_guarantee_of_fit_alone_is_that_of_what_it_chooses_among(setting):
    of_fit, of_its_own = (
        evaluate_policies(setting, families, folds=2, resamples=5, max_disagreements=[0.4]).promises
        for families in ([Chosen((Singles(), CascadeSearch()))], [Singles(), CascadeSearch()])
    )
    assert of_fit == of_its_own
    assert of_fit[0].disagreement is not None


def test_names_are_escaped(tmp_path, capsys):
    rows = [{**row, "dataset": "<i>&set</i>", "model": f'<b>{row["model"]}</b>&"co"'} for row in made_up(20)]
    _, page, _ = whole(tmp_path, capsys, rows)
    assert "<b>" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;large&lt;/b&gt;&amp;" in page


def test_what_it_takes_to_be_as_good_as_the_best_single_model(setting):
    oracle = evaluate_policies(setting, [Always(2, cheat=True)], folds=4, resamples=50)
    assert "Best single model: large" in headline(oracle)
    quality = f"{setting.correct[:, 2].mean():.4f}"
    cost = f"at {amount(setting.unit, 0.016)}"
    assert f"large, {quality} {cost}" in headline(oracle)
    point = f"always, {quality} at {amount(setting.unit, 0.001)}, chosen on the learning queries."
    assert headline(oracle).endswith(f"As good for 6% of its cost: {point}")
    honest = evaluate_policies(setting, [Always(2)], folds=4, resamples=50)
    assert headline(honest).endswith("Nothing else is as good for less.")


def test_the_headline_goes_by_what_was_chosen_not_by_the_best_point_of_the_curve(setting):
    report = evaluate_policies(setting, [Always(0)], folds=4, resamples=5)
    family = by_name(report)["always"]
    flattered = replace(family, curve=(replace(family.chosen, quality=1.0),), cost_at_best=family.chosen.cost)
    quality = f"{setting.correct[:, 0].mean():.4f}"
    said = headline(replace(report, families=(report.families[0], flattered)))
    assert "Nothing else is as good for less. Nearest, for 6% of its cost: always, " + quality in said
    assert said.endswith(", chosen on the learning queries.")


def test_what_was_missing_is_said(tmp_path, capsys):
    rows = [{**row, "margin": None, "logprobs": None} for row in made_up()]
    report, page, out = whole(tmp_path, capsys, rows)
    skipped = {entry["family"]: entry["reason"] for entry in report["datasets"][0]["skipped"]}
    assert "no signal was recorded" in skipped["cascade"]
    assert "cascade was not evaluated" in page
    assert "not evaluated: cascade" in out


def test_plot_of_policies(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "curves.png"
    path = write(tmp_path / "r.jsonl", made_up(20))
    assert evaluated(capsys, path, "--policies", "single,cascade", "--plot", picture)[0] == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_page_without_matplotlib(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    _, page, _ = whole(tmp_path, capsys, made_up(20))
    assert "<svg" in page


def test_datasets_that_cannot_be_evaluated_stand_beside_others(tmp_path, capsys):
    rows = [*made_up(20), *({**row, "dataset": "ungraded", "correct": None} for row in made_up(4))]
    report, page, out = whole(tmp_path, capsys, rows)
    assert [dataset["dataset"] for dataset in report["datasets"]] == ["made up"]
    assert report["skipped"][0]["dataset"] == "ungraded"
    assert "Not evaluated" in page
    assert "Not evaluated: ungraded" in out


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["--html", "x.html"], "--html needs --policies"),
        (["--folds", "3"], "--folds needs --policies"),
        (["--max-disagreement", "0.1"], "--max-disagreement needs --policies"),
        (["--policies", "nonsense"], "--policies 'nonsense': give all, or some of single"),
        (["--policies", ","], "--policies nothing"),
        (["--policies", "all", "--folds", "1"], "--folds 1 is out of range"),
        (["--policies", "all", "--budget-points", "1"], "--budget-points 1 is out of range"),
        (["--policies", "all", "--max-disagreement", "1.5"], "--max-disagreement 1.5 is out of range"),
        (["--policies", "all", "--confidence", "0"], "--confidence 0 is out of range"),
        (["--policies", "all", "--html", "no/such/x.html"], "there is no folder 'no/such'"),
    ],
)
def test_refused(tmp_path, capsys, arguments, seen):
    status, out, err = evaluated(capsys, write(tmp_path / "r.jsonl", made_up(4)), *arguments)
    assert (status, out) == (2, "")
    assert seen in err


def test_one_query_is_too_few(tmp_path, capsys):
    status, _, err = evaluated(capsys, write(tmp_path / "r.jsonl", made_up(1)), "--policies", "all")
    assert status == 2
    assert "takes at least 2" in err
