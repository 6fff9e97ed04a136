"""The scorer that reads query and answer: that it learns, is the same when read back, and says what it lacks."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core_builders import ask, says
from encoders import minilm, tiny_encoder
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade, Policy
from frugal_core.saving import encode
from frugal_core.scorers import CrossEncoderScorer, SchemaValid
from frugal_core.types import Answer, Message, Query, Tier

if find_spec("sentence_transformers") is None:
    pytest.skip("fine-tuning needs the embeddings extra", allow_module_level=True)

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[4] / "shared" / "data")
TOWNS = ["Paris", "Rome", "Oslo", "Madrid", "Athens", "Vienna", "Lisbon", "Dublin"]


def query(text: str) -> Query:
    return Query((Message("user", text),), (Tier("small"), Tier("large")))


def lesson(rows: int, seed: int = 0) -> tuple[list[Query], list[Answer], list[float]]:
    """Answers that are wrong where they hedge."""
    rng = random.Random(seed)
    queries, answers, correct = [], [], []
    for number in range(rows):
        sure = rng.random() < 0.5
        town = rng.choice(TOWNS)
        queries.append(query(f"Question {seed} {number}: where is it?"))
        answers.append(Answer(f"Certainly {town}." if sure else f"Perhaps it is {town}, I do not know."))
        correct.append(float(sure))
    return queries, answers, correct


def auroc(scores: Any, correct: Any) -> float:
    """Share of pairs of a right and a wrong answer where the right one scores higher, ties by half."""
    scores, correct = np.asarray(scores), np.asarray(correct)
    right, wrong = scores[correct == 1][:, None], scores[correct == 0]
    return float(((right > wrong) + 0.5 * (right == wrong)).mean())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def taught(tiny: Path) -> CrossEncoderScorer:
    return CrossEncoderScorer.fit(*lesson(160), checkpoint=tiny, epochs=4, rate=3e-3)


@pytest.fixture(scope="module")
def saved(taught: CrossEncoderScorer, tmp_path_factory: pytest.TempPathFactory) -> CrossEncoderScorer:
    return taught.save(tmp_path_factory.mktemp("saved") / "scorer")


def test_it_tells_right_from_wrong_on_queries_it_has_not_seen(taught: CrossEncoderScorer) -> None:
    queries, answers, correct = lesson(60, seed=1)
    scores = taught.scores(queries, answers)
    assert auroc(scores, correct) > 0.95
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores[np.array(correct) == 1].mean() > 0.8 > 0.2 > scores[np.array(correct) == 0].mean()


def test_it_learns_from_recorded_answers(tiny: Path) -> None:
    path = DATA / "bbh_codex" / "bbh_codex.jsonl.gz"
    if not path.exists():
        pytest.skip("no recorded answers: set FRUGAL_DATA to their folder")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["answer"]]
    rows = random.Random(0).sample(rows, 1200)
    queries, answers = [query(row["query"]) for row in rows], [Answer(row["answer"]) for row in rows]
    correct = [float(row["correct"]) for row in rows]
    scorer = CrossEncoderScorer.fit(
        queries[:700], answers[:700], correct[:700], checkpoint=tiny, epochs=4, batch=32, rate=5e-3, max_tokens=32
    )
    assert auroc(scorer.scores(queries[700:], answers[700:]), correct[700:]) > 0.6


def test_any_encoder_serves_also_one_without_a_head(tmp_path: Path) -> None:
    queries, answers, correct = lesson(50)
    scorer = CrossEncoderScorer.fit(queries, answers, correct, checkpoint=minilm(), epochs=1, max_tokens=24)
    saved = scorer.save(tmp_path / "minilm")
    assert saved.scores(queries[:9], answers[:9]).tolist() == scorer.scores(queries[:9], answers[:9]).tolist()
    assert not [path for path in (tmp_path / "minilm").rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".pth")]
    assert list((tmp_path / "minilm").rglob("*.safetensors"))


def test_one_by_one_and_together_are_the_same(taught: CrossEncoderScorer) -> None:
    queries, answers, _ = lesson(12, seed=2)
    alone = [taught(*pair) for pair in zip(queries, answers, strict=True)]
    assert alone == pytest.approx(taught.scores(queries, answers).tolist(), abs=1e-5)
    assert taught.scores([], []).shape == (0,)


def test_the_query_is_read_as_well(tiny: Path) -> None:
    """The same answers, right or wrong by what was asked."""
    rng = random.Random(0)
    queries, correct = [], []
    for number in range(160):
        easy = rng.random() < 0.5
        queries.append(query(f"{'Add two numbers' if easy else 'Prove this conjecture'}, please: {number}"))
        correct.append(float(easy))
    scorer = CrossEncoderScorer.fit(queries, [Answer("Done.")] * 160, correct, checkpoint=tiny, epochs=4, rate=3e-3)
    easy, hard = (
        scorer(query(f"{text}, please: 777"), Answer("Done.")) for text in ("Add two numbers", "Prove this conjecture")
    )
    assert easy is not None
    assert hard is not None
    assert easy > 0.8 > 0.2 > hard


def test_the_seed_decides_all(tiny: Path) -> None:
    queries, answers, correct = lesson(60)
    one, again, other = (
        CrossEncoderScorer.fit(queries, answers, correct, checkpoint=tiny, epochs=1, rate=1e-3, seed=seed).scores(
            queries, answers
        )
        for seed in (1, 1, 2)
    )
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()


def test_fitting_leaves_the_programs_random_numbers_alone(tiny: Path) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3).tolist()
    torch.manual_seed(5)
    CrossEncoderScorer.fit(*lesson(50), checkpoint=tiny, epochs=1)
    assert torch.rand(3).tolist() == expected


def test_an_answer_without_text_has_no_score(taught: CrossEncoderScorer, tiny: Path) -> None:
    assert taught(query("a"), Answer(" \n")) is None
    scores = taught.scores([query("a")] * 2, [Answer(""), Answer("Certainly Rome.")])
    assert np.isnan(scores).tolist() == [True, False]
    queries, answers, correct = lesson(60)
    blank = [Answer("")] * 20
    with pytest.raises(ConfigurationError, match="40 graded answers are too few"):
        CrossEncoderScorer.fit(queries, [*answers[:40], *blank], correct, checkpoint=tiny)


def test_out_of_fold_scores_come_from_others_queries(tiny: Path) -> None:
    """Labels by chance: who saw a query's answer would know its twin's."""
    rng = random.Random(0)
    queries = [query(f"Number {number}?") for number in range(60) for _ in range(2)]
    answers = [Answer(f"{rng.choice(TOWNS)} {number}") for number in range(60) for _ in range(2)]
    correct: list[float | None] = [label for _ in range(60) for label in [float(rng.random() < 0.5)] * 2]
    answers[0], correct[5] = Answer(""), None
    scores = CrossEncoderScorer.cross_fit(queries, answers, correct, checkpoint=tiny, epochs=4, rate=3e-3, folds=2)
    assert scores.shape == (120,)
    assert np.isnan(scores).tolist() == [True, *[False] * 119]
    known = [row for row in range(1, 120) if row != 5]
    labels = [correct[row] or 0.0 for row in known]
    assert 0.25 < auroc(scores[known], labels) < 0.75


def test_no_scorer_has_seen_another_answer_to_the_query_it_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor has the calibration: its queries are not those that teach."""

    class Model:
        def __init__(self, taught: set[str]) -> None:
            self.taught, self.asked = taught, 0

        def predict(self, pairs: list[tuple[str, str]], **options: Any) -> list[float]:
            assert not self.taught & {text for text, _ in pairs}
            self.asked += len({text for text, _ in pairs})
            return [0.5] * len(pairs)

    models: list[Model] = []

    def tuned(training: Any, pairs: list[tuple[str, str]], labels: list[float]) -> Model:
        models.append(Model({text for text, _ in pairs}))
        return models[-1]

    monkeypatch.setattr("frugal_core.scorers.cross_encoder._Training.tuned", tuned)
    queries = [query(f"Number {number}?") for number in range(60) for _ in range(2)]
    correct = [float(number % 2) for number in range(60) for _ in range(2)]
    CrossEncoderScorer.cross_fit(queries, [Answer("a"), Answer("b")] * 60, correct, checkpoint="unused", folds=3)
    assert [(len(model.taught), model.asked) for model in models] == [(32, 8 + 20)] * 3


def test_out_of_fold_scores_see_the_signal(tiny: Path) -> None:
    queries, answers, correct = lesson(160)
    scores = CrossEncoderScorer.cross_fit(queries, answers, correct, checkpoint=tiny, epochs=4, rate=3e-3, folds=2)
    assert auroc(scores, correct) > 0.9


def test_what_lies_beyond_the_cut_is_not_read_also_when_read_back(saved: CrossEncoderScorer) -> None:
    for scorer in (saved, CrossEncoderScorer.load(str(saved.folder))):
        sure, unsure = (scorer(query("where?"), Answer("so " * 300 + end)) for end in ("Certainly", "Perhaps I do not know"))
        assert sure == unsure


# --- on disk ---


def test_a_saved_scorer_scores_alike_in_another_process(saved: CrossEncoderScorer, tmp_path: Path) -> None:
    Cascade(saved & SchemaValid(), 0.5).save(tmp_path / "policy")
    _, answers, _ = lesson(5, seed=3)
    long = Answer("Certainly Paris. " * 200)  # cut where it was cut when learned
    texts = [answer.text for answer in [*answers, long]]
    program = f"""
import json, sys, torch
torch.set_num_threads(1)
from frugal_core.policies import Policy
from frugal_core.types import Answer, Message, Query
scorer = Policy.load({str(tmp_path / "policy")!r}).scorer.first
print(json.dumps([scorer(Query((Message("user", "where?"),), ()), Answer(text)) for text in {texts!r}]))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    here = [saved(query("where?"), Answer(text)) for text in texts]
    assert json.loads(done.stdout) == pytest.approx(here, abs=1e-6)


def test_a_loaded_policy_decides_by_it(saved: CrossEncoderScorer, tmp_path: Path) -> None:
    Cascade(saved, 0.5).save(tmp_path / "policy")
    policy = Policy.load(tmp_path / "policy")
    assert policy.identity == Cascade(saved, 0.5).identity
    assert ask(policy, says("Certainly Rome."), says("large"))[0].tier == "tier0"
    assert ask(policy, says("Perhaps it is Rome, I do not know."), says("large"))[0].tier == "tier1"


def test_a_moved_folder_is_loaded_from_where_it_is(saved: CrossEncoderScorer, tmp_path: Path) -> None:
    copy = saved.save(tmp_path / "copy")
    (tmp_path / "copy").rename(tmp_path / "moved")
    with pytest.raises(ConfigurationError, match=r"No folder '.*copy'.*looked for from.*CrossEncoderScorer\.load"):
        CrossEncoderScorer.from_state(copy.state())
    moved = CrossEncoderScorer.load(tmp_path / "moved")
    queries, answers, _ = lesson(5, seed=4)
    assert moved.scores(queries, answers) == pytest.approx(saved.scores(queries, answers), abs=1e-6)
    assert moved.digest == saved.digest


def test_other_weights_under_the_same_name_are_refused(saved: CrossEncoderScorer, tiny: Path, tmp_path: Path) -> None:
    old = saved.save(tmp_path / "scorer")
    other = CrossEncoderScorer.fit(*lesson(50), checkpoint=tiny, epochs=1, seed=9).save(tmp_path / "scorer")
    assert other.digest != old.digest
    with pytest.raises(ConfigurationError, match="other weights"):
        CrossEncoderScorer.from_state(old.state())


def test_weights_in_memory_cannot_be_named_in_a_file(taught: CrossEncoderScorer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"scorer = scorer\.save\(folder\)"):
        encode(taught)


def test_a_folder_of_something_else_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No saved"):
        CrossEncoderScorer.load(tiny)
    with pytest.raises(ConfigurationError, match="No folder"):
        CrossEncoderScorer.load(tmp_path / "none")


# --- what it refuses ---


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch": 1.5}, "batch=1.5"),
        ({"rate": 0}, "rate=0"),
        ({"seed": -1}, "seed=-1"),
        ({"max_tokens": 2}, "max_tokens=2"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        CrossEncoderScorer.fit(*lesson(50), checkpoint="unused", **given)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere' cannot be loaded as an encoder"):
        CrossEncoderScorer.fit(*lesson(50), checkpoint=tmp_path / "nowhere")


def test_one_query_is_too_few(tiny: Path) -> None:
    _, answers, correct = lesson(60)
    queries = [query("always the same")] * 60
    with pytest.raises(ConfigurationError, match="to one query"):
        CrossEncoderScorer.fit(queries, answers, correct, checkpoint=tiny)
    with pytest.raises(ConfigurationError, match="to one query"):
        CrossEncoderScorer.cross_fit(queries, answers, correct, checkpoint=tiny)
    with pytest.raises(ConfigurationError, match="folds=1"):
        CrossEncoderScorer.cross_fit(queries, answers, correct, checkpoint=tiny, folds=1)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-frugal\[embeddings\]'"):
        CrossEncoderScorer.fit(*lesson(50), checkpoint="unused")


def test_importing_and_loading_it_load_no_torch(saved: CrossEncoderScorer, tmp_path: Path) -> None:
    Cascade(saved, 0.5).save(tmp_path / "policy")
    program = f"""
import sys
from frugal_core.policies import Policy
from frugal_core.scorers import CrossEncoderScorer
assert "numpy" not in sys.modules
Policy.load({str(tmp_path / "policy")!r})
assert not {{"torch", "transformers", "sentence_transformers"}} & set(sys.modules)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=env)
