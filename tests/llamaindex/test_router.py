"""A learned router in FrugalLLM, on the playground's real models: every way to ask, streams, files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.embeddings import MockEmbedding

import li
from frugal_core.errors import FrugalWarning
from frugal_core.playground.language_model import MODEL_NAMES
from frugal_core.playground.questions import Question, generate, is_correct
from frugal_core.types import Message, Query
from llamaindex_frugal import FrugalLLM, PerformancePredictor, Router
from llamaindex_frugal.playground import PlaygroundLLM

SMALL, _, LARGE = MODEL_NAMES
COSTS = {SMALL: 1e-6, LARGE: 1e-4}


def asked(text: str) -> Query:
    return Query((Message("user", text),), ())


def models() -> list[Any]:
    return [PlaygroundLLM(SMALL), PlaygroundLLM(LARGE)]


@cache
def lessons() -> tuple[list[Question], list[list[float]]]:
    """Questions, and whether the models answer them rightly."""
    questions = generate(60, seed=2)
    return questions, [
        [float(is_correct(model.complete(question.text).text, question.answer)) for model in models()] for question in questions
    ]


@cache
def predictor() -> PerformancePredictor:
    questions, quality = lessons()
    return PerformancePredictor.fit([asked(each.text) for each in questions], quality, (SMALL, LARGE))


def router() -> Router:
    return Router(predictor(), COSTS, cost_weight=2000.0)


def picked() -> list[Question]:
    """A question for the small model, and one for the large one."""
    gains = [large - small for small, large in (predictor()(asked(each.text)) for each in lessons()[0])]
    return [lessons()[0][gains.index(min(gains))], lessons()[0][gains.index(max(gains))]]


async def test_every_way_to_ask_is_one_call_to_the_same_model() -> None:
    llm = FrugalLLM(models(), policy=router())
    chosen = set()
    for question in picked():
        decisions = [li.decision(await li.ask(llm, how, question.text)) for how in li.HOWS]
        assert len({decision["tier"] for decision in decisions}) == 1
        for decision in decisions:
            (step,) = decision["steps"]
            assert (step["reason"], step["accepted"], decision["policy"]) == ("routed", True, "router")
            assert step["score"] == predictor()(asked(question.text))[(SMALL, LARGE).index(step["tier"])]
        chosen.add(decisions[0]["tier"])
    assert chosen == {SMALL, LARGE}


async def test_the_answer_streams_as_it_is_written() -> None:
    llm = FrugalLLM(models(), policy=Router(lambda query: [0.9, 0.5], COSTS, 0.0))
    text = next(each.text for each in lessons()[0] if len(list(models()[0].stream_complete(each.text))) > 4)
    for how in ("stream_chat", "astream_chat", "stream_complete", "astream_complete"):
        pieces, plain = await li.stream(llm, how, text), await li.stream(models()[0], how, text)
        assert [piece.delta for piece in pieces][: len(plain)] == [piece.delta for piece in plain]


def test_a_saved_router_serves_on(tmp_path: Path) -> None:
    router().save(tmp_path / "support.frugal")
    texts = [question.text for question in lessons()[0][:20]]
    before, after = (
        [li.decision(FrugalLLM(models(), policy=policy).complete(text))["tier"] for text in texts]
        for policy in (router(), str(tmp_path / "support.frugal"))
    )
    assert before == after


def test_llamaindex_embeddings_serve_as_they_are(tmp_path: Path) -> None:
    questions, quality = lessons()
    queries = [asked(each.text) for each in questions]
    embeddings = MockEmbedding(embed_dim=8)
    learned = PerformancePredictor.fit(queries, quality, (SMALL, LARGE), embed=embeddings)
    Router(learned, COSTS, 2000.0).save(tmp_path / "router")
    loaded = Router.load(tmp_path / "router")
    with pytest.warns(FrugalWarning, match=r"with_embedding\(embed\)"):
        decision = li.decision(FrugalLLM(models(), policy=loaded).complete("What is 12 plus 7?"))
    assert (decision["tier"], decision["steps"][0]["reason"]) == (LARGE, "no_signal")
    assert isinstance(loaded.predictor, PerformancePredictor)
    mended = Router(loaded.predictor.with_embedding(embeddings), loaded.costs, loaded.cost_weight)
    decision = li.decision(FrugalLLM(models(), policy=mended).complete("What is 12 plus 7?"))
    assert decision["steps"][0]["reason"] == "routed"


def test_a_plain_function_will_do() -> None:
    llm = FrugalLLM(models(), policy=Router(lambda query: [1.0 if "plus" in query.text else 0.0, 0.9], COSTS, 1.0))
    tiers = [li.decision(llm.complete(text))["tier"] for text in ("What is 12 plus 7?", "How many days are in 3 weeks?")]
    assert tiers == [SMALL, LARGE]
