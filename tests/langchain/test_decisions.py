"""LangChain's decision models as predictors: OpenAI's own client, on a wire whose replies are written down."""

from __future__ import annotations

import json
import warnings
from typing import Any

import httpx
import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_openai.decisions import Choice, OpenAIDecisions, Predicate

import lc
from frugal_core.errors import ConfigurationError
from langchain_frugal import ChatFrugal, FrugalWarning, Router
from langchain_frugal.decisions import DecisionPredictor

COSTS = {"small": 1.0, "large": 10.0}
QUESTIONS = {name: Predicate(instructions=f"A {name} model answers this rightly.") for name in COSTS}


class Wire:
    """Answers every question with the probabilities given, and notes what was asked."""

    def __init__(self, *answers: dict[str, Any], status: int = 200) -> None:
        self.asked: list[Any] = []
        self.answers = answers
        self.status = status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append(body)
        named = [{"name": each["name"], **answer} for each, answer in zip(body["questions"], self.answers, strict=True)]
        return httpx.Response(self.status, json={"model": "decider", "answers": named, "usage": {"input_tokens": 9}})

    def model(self) -> OpenAIDecisions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LangChainBetaWarning)  # told once per process
            return OpenAIDecisions(
                model="decider",
                api_key="k",  # type: ignore[arg-type]
                max_retries=0,
                http_client=httpx.Client(transport=httpx.MockTransport(self)),
            )


def yes(probability: float) -> dict[str, Any]:
    return {"type": "predicate", "probability": probability}


def frugal(wire: Wire, questions: Any = QUESTIONS) -> ChatFrugal:
    policy = Router(DecisionPredictor(wire.model(), questions), COSTS, 0.02)
    return lc.frugal(lc.small(), lc.large(), threshold=None, policy=policy)


@pytest.mark.parametrize(("small", "tier"), [(0.8, "small"), (0.7, "large")])  # worth 0.18
def test_probabilities_choose_the_model(small: float, tier: str) -> None:
    wire = Wire(yes(small), yes(0.9))
    decision = lc.decision(frugal(wire).invoke("Is it so?"))
    assert decision["tier"] == tier
    assert decision["steps"][0]["score"] == (small if tier == "small" else 0.9)
    (asked,) = wire.asked
    assert [each["instructions"] for each in asked["questions"]] == [each.instructions for each in QUESTIONS.values()]
    assert "Is it so?" in json.dumps(asked["input"])


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (Wire({"type": "refusal"}, yes(0.9)), "gave no probability for 'small' but RefusalAnswer"),
        (Wire(yes(0.9), yes(0.9), status=500), "The predictor DecisionPredictor raised OpenAIAPIError: Error code: 500"),
    ],
)
def test_refusals_and_failures_leave_the_query_to_the_reference(wire: Wire, message: str) -> None:
    with pytest.warns(FrugalWarning, match=message):
        decision = lc.decision(frugal(wire).invoke("Is it so?"))
    assert decision["tier"] == "large"


def test_a_choice_is_no_probability() -> None:
    chosen = {"type": "choice", "choice": "a", "probabilities": [{"value": "a", "probability": 1.0}], "confidence": 1.0}
    questions = {**QUESTIONS, "small": Choice(instructions="Which?", choices={"a": None})}
    with pytest.warns(FrugalWarning, match="gave no probability for 'small' but ChoiceAnswer"):
        frugal(Wire(chosen, yes(0.9)), questions).invoke("Is it so?")


@pytest.mark.parametrize(("decisions", "questions"), [(3, QUESTIONS), (None, {}), (lc.small(), {}), (lc.small(), ["a"])])
def test_what_is_no_decision_model_is_refused(decisions: Any, questions: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"must be a decision model|must give a Predicate"):
        DecisionPredictor(decisions, questions)
