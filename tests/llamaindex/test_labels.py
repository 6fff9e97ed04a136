"""Labels by meaning and by a judging model, through `grade` and `record`, with real embeddings and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugal_core.errors import ConfigurationError, ScorerError
from li import Fake, large, small
from llamaindex_frugal import LLMJudge, SemanticAgreement, arecord, grade, record
from llamaindex_frugal.playground import PlaygroundLLM
from openai_shapes import PRICES
from rag import embedding as embeddings

QUESTIONS = [
    {"query": "Where did the cat sit?", "reference": "The cat sat on the mat."},
    {"query": "How heavy is it?", "reference": "In total the package weighs 8 kg."},
]
ANSWERS = {"cat": "On the mat, there sat a cat.", "heavy": "The package weighs 7 kg in total."}


def answering(messages: Any) -> str:
    return next(answer for word, answer in ANSWERS.items() if word in str(messages))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def judging(reply: Any = None) -> Fake:
    """Finds that what speaks of a mat means the same."""
    told = reply or (lambda messages: "Yes." if "there sat" in str(messages) else "No.")
    return Fake(model="judge", reply=told)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@pytest.fixture(params=["sync", "async"])
def recorded(request: pytest.FixtureRequest, path: Path) -> Any:
    async def run(labels: Any) -> list[dict[str, Any]]:
        models = [small(answering), large(answering)]
        options: Any = {"prices": PRICES, "progress": False, "labels": labels}
        if request.param == "sync":
            record(models, QUESTIONS, path, **options)
        else:
            await arecord(models, QUESTIONS, path, **options)
        return rows_of(path)

    return run


def by_query(rows: list[dict[str, Any]]) -> dict[str, set[Any]]:
    return {word: {row["correct"] for row in rows if word in row["query"]} for word in ANSWERS}


async def test_record_labels_by_meaning(recorded: Any) -> None:
    assert by_query(await recorded(SemanticAgreement(embeddings()))) == {"cat": {1.0}, "heavy": {0.0}}


async def test_record_labels_by_a_judge_that_is_asked_at_temperature_zero(recorded: Any) -> None:
    judge = judging()
    rows = await recorded(LLMJudge(judge, prices=PRICES))
    assert by_query(rows) == {"cat": {1.0}, "heavy": {0.0}}
    assert {row["label"] for row in rows} == {"gold"}
    assert len(judge.log) == 4
    for call in judge.log.calls:
        assert call.kwargs.get("temperature") == 0.0
    asked = str(judge.log.calls[0].messages)
    assert "there sat a cat" in asked or "weighs 7 kg" in asked


@pytest.mark.filterwarnings("ignore:.*could not be graded")
async def test_a_verdict_that_cannot_be_read_is_told_in_the_row(recorded: Any) -> None:
    rows = await recorded(LLMJudge(judging("Hmm, hard to tell."), prices=PRICES))
    assert {row["correct"] for row in rows} == {None}
    assert all("neither yes nor no" in row["label_error"] for row in rows)


def test_grade_by_both_and_agreement_with_the_reference_model(path: Path) -> None:
    questions = [{"query": question["query"]} for question in QUESTIONS]
    standard = {question["query"]: question["reference"] for question in QUESTIONS}
    models = [
        small(answering),
        large(lambda messages: next(text for query, text in standard.items() if query in str(messages))),
    ]
    record(models, questions, path, prices=PRICES, progress=False, labels=None)
    assert {row["correct"] for row in rows_of(path)} == {None}
    assert grade(path, SemanticAgreement(embeddings()), reference_model="large") == 4
    once = {(row["model"], row["query"]): row["correct"] for row in rows_of(path)}
    assert once[("small", QUESTIONS[0]["query"])] == 1.0
    assert once[("small", QUESTIONS[1]["query"])] == 0.0
    judge = judging()
    assert grade(path, LLMJudge(judge, prices=PRICES), reference_model="large", again=True) == 4
    assert {(row["model"], row["query"]): row["correct"] for row in rows_of(path)} == once
    assert len(judge.log) == 2  # the reference's own answers are right without a judge


def test_the_judges_own_probability_is_a_label_where_wanted() -> None:
    judge = judging("Yes")
    label = LLMJudge(judge, probability=True, prices=PRICES)("q", "a", "r")
    assert label == pytest.approx(0.95, abs=0.02)  # its margin is 0.9


def test_a_real_model_that_was_not_made_to_judge_gives_no_verdict() -> None:
    judge = LLMJudge(PlaygroundLLM("playground-large"), prompt="{question} {answer} {reference}")
    with pytest.raises(ScorerError, match="neither yes nor no"):
        judge("What is 3 plus 4?", "8", "7")


@pytest.mark.parametrize("model", [None, 3, "gpt-4o mini"])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ConfigurationError):
        LLMJudge(model)
