"""Evaluations on recorded answers of real LLMs, which are not part of this repository: FRUGAL_DATA says where they are."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from frugal_core.cli import main
from frugal_core.evaluation.evaluate import evaluate
from frugal_core.evaluation.metrics import area
from frugal_core.evaluation.policies import evaluate_policies
from frugal_core.evaluation.preparation import ready
from frugal_core.evaluation.replay import RecordedSignal, Replay
from frugal_core.evaluation.report import as_dict
from frugal_core.learning import Recordings
from frugal_core.learning.cascade_path import CascadeSearch
from frugal_core.learning.setting import prepare
from frugal_core.learning.singles import Singles
from frugal_core.policies import Cascade

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")

if not DATA.is_dir():
    pytest.skip("no recorded answers: set FRUGAL_DATA to their folder", allow_module_level=True)


def read(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name} in FRUGAL_DATA")
    (recordings,) = Recordings.read([path])
    return recordings


@pytest.fixture(scope="module")
def mmlu():
    return evaluate(prepare(read("zellinger/mmlu.jsonl.gz")))


@pytest.fixture(scope="module")
def mmbench():
    chosen = [
        "MobileVLM_V2-1.7B",
        "MoE-LLaVA-Phi2-2.7B-4e",
        "MobileVLM_V2-7B",
        "llava-v1.6-vicuna-13b",
        "Yi-VL-34B",
        "llava-v1.6-34b",
    ]
    return evaluate(prepare(read("vlm_uncertainty/mmbench.jsonl.gz").select(chosen)))


def gains(report, at_least):
    """Gain in area over random routing of the pairs whose dear model costs at least so many times the cheap one."""
    costs = {single.model: single.cost for single in report.singles}
    pairs = [policy for policy in report.policies if len(policy.models) == 2]
    return {p.models: p.auc - p.auc_random for p in pairs if costs[p.models[1]] >= at_least * costs[p.models[0]]}


def test_single_models_are_as_the_data_describes_them(mmlu):
    accuracies = {single.model: single.accuracy for single in mmlu.singles}
    assert accuracies["gpt-4o"] == pytest.approx(0.8361, abs=5e-5)
    assert accuracies["llama3.2-1b"] == pytest.approx(0.4246, abs=5e-5)
    assert mmlu.best_single.model == "llama3.1-405b"
    assert mmlu.setting.signal == "confidence_logp"
    assert mmlu.setting.cost_source == "cost_answer_usd"


def test_margin_cascades_beat_random_routing_where_the_dear_model_costs_twice_the_cheap_one(mmbench):
    pairs = gains(mmbench, at_least=2)
    assert len(pairs) >= 8
    assert all(gain > 0 for gain in pairs.values()), pairs


def test_logprob_cascades_beat_random_routing_where_the_cheap_model_costs_a_tenth(mmlu):
    pairs = gains(mmlu, at_least=10)
    assert len(pairs) >= 8
    assert all(gain > 0 for gain in pairs.values()), pairs


def test_the_curve_is_what_driving_the_policy_gives(mmbench):
    policy = next(policy for policy in mmbench.policies if len(policy.models) == 3)
    members = [mmbench.setting.models.index(name) for name in policy.models]
    replay = Replay(mmbench.setting, members, ~mmbench.setting.train)
    for point in [point for point in policy.curve if point.thresholds is not None][::20]:
        outcomes = replay.run(Cascade(RecordedSignal(), point.thresholds))
        assert outcomes.cost.mean() == pytest.approx(point.cost)
        assert outcomes.correct.mean() == pytest.approx(point.accuracy)


def test_the_area_can_be_computed_from_the_report(mmlu):
    content = json.loads(json.dumps(as_dict(mmlu)))
    costs = {single["model"]: single["cost"] for single in content["singles"]}
    accuracies = {single["model"]: single["accuracy"] for single in content["singles"]}
    for policy in content["policies"]:
        small, large = policy["models"][0], policy["models"][-1]
        assert policy["auc"] == pytest.approx(area([tuple(p) for p in policy["curve"]], costs[small], costs[large]))
        assert policy["auc_random"] == pytest.approx((accuracies[small] + accuracies[large]) / 2)


def test_votes_over_samples(tmp_path):
    chosen = ["llama-2-13b:cot1", "gpt-3.5-turbo:cot1", "gpt-4:cot1"]
    setting = prepare(
        read("mot_cascade/date.jsonl.gz"),
        models=chosen,
        sizes={"llama-2-13b:cot1": 13, "gpt-3.5-turbo:cot1": 50, "gpt-4:cot1": 1000},
    )
    assert setting.signal == "votes"
    assert setting.cost_source.endswith("x number of samples")


def test_missing_confidences_are_escalated():
    recordings = read("bplaut_mcq/truthfulqa.jsonl.gz")
    setting = prepare(
        recordings,
        models=["falcon-40b-instruct", "llama-3-70b-instruct"],
        sizes={"falcon-40b-instruct": 40, "llama-3-70b-instruct": 70},
    )
    missing = np.isnan(setting.score[~setting.train, 0])
    assert missing.any()
    assert np.array_equal(Replay(setting, [0, 1], ~setting.train).cascade([0.0]).calls[:, 1], missing)


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.jsonl.gz")), ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_every_file_is_evaluated_or_refused_in_words(path, tmp_path, capsys):
    head = tmp_path / path.name
    with gzip.open(path) as rows, gzip.open(head, "wb") as part:
        part.writelines(line for line, _ in zip(rows, range(1500), strict=False))
    status = main(["evaluate", "--recordings", str(head)])
    captured = capsys.readouterr()
    assert status in (0, 2)
    assert "Traceback" not in captured.err
    if status == 2:
        assert captured.err.startswith("Error: ")
        assert any(
            word in captured.err for word in ("Every row needs", "Give", "Grade", "answered different", "at least 2", "Set ")
        )


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.jsonl.gz")), ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_families_of_policies_are_evaluated_on_every_file_or_refused_in_words(path, tmp_path, capsys):
    head, report = tmp_path / path.name, tmp_path / "report.json"
    with gzip.open(path) as rows, gzip.open(head, "wb") as part:
        part.writelines(line for line, _ in zip(rows, range(400), strict=False))
    status = main(["evaluate", "--recordings", str(head), "--policies", "single,threshold", "--json", str(report)])
    captured = capsys.readouterr()
    if status == 2:  # no recordings of models, or grades out of range
        assert any(word in captured.err for word in ("Every row needs", "Grade")), captured.err
        return
    assert (status, captured.err) == (0, "")
    for dataset in json.loads(report.read_text())["datasets"]:
        families = {family["name"]: family for family in dataset["families"]}
        assert {"random", "single"} <= set(families)
        assert ("threshold" in families) == (dataset["signal"] is not None) or dataset["skipped"]
        best = max(single["quality"] for single in dataset["singles"])
        assert families["random"]["chosen"]["quality"] <= best + 1e-9


def test_families_of_policies_on_real_answers():
    setting = ready(read("zellinger/mmlu.jsonl.gz"), models=["gpt-4o-mini", "llama3.1-405b"])
    report = evaluate_policies(setting, [Singles(), CascadeSearch(depth=2)], folds=4)
    families = {family.name: family for family in report.families}
    assert report.best_single.model == "llama3.1-405b"
    assert families["random"].apgr == pytest.approx(0.5)
    assert families["cascade"].gain_interval.low > 0  # a real signal is worth something, beyond chance
    assert families["cascade"].apgr > 0.6
    assert families["cascade"].cpt80 < 0.75
