"""Scorers that ask, on the playground's real models: sampled at a temperature, read by log-probabilities, paid to the cent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from pydantic import BaseModel

import lc
from frugal_core.evaluation.metrics import auroc
from frugal_core.playground.language_model import MODEL_NAMES, PRICES_USD_PER_1M
from frugal_core.playground.questions import generate, is_correct
from langchain_frugal import AUTOMIX, Agreement, ChatFrugal, Hopeless, Margin, Scorer, SelfConsistency, SelfVerification
from langchain_frugal.playground import ChatPlayground

SMALL, MEDIUM, LARGE = MODEL_NAMES
ABOVE = SelfVerification("Is {answer} larger than 49?")
"""A question that the playground's models understand, other than whether an answer is right."""


class Calls(BaseCallbackHandler):
    """The messages of every call, its arguments and its tokens."""

    def __init__(self) -> None:
        self.temperatures: list[float | None] = []
        self.costs: list[float] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.temperatures.append(kwargs["invocation_params"].get("temperature"))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        message = response.generations[0][0].message
        read, written = PRICES_USD_PER_1M[message.response_metadata["model_name"]]
        usage = message.usage_metadata
        self.costs.append((usage["input_tokens"] * read + usage["output_tokens"] * written) / 1e6)


def cascade(scorer: Scorer | None, *names: str, threshold: Any = 0.5, **settings: Any) -> ChatFrugal:
    return ChatFrugal(
        [ChatPlayground(model=name) for name in names or (SMALL, LARGE)], scorer=scorer, threshold=threshold, **settings
    )


async def everyway(llm: ChatFrugal, text: str) -> list[dict[str, Any]]:
    """The decisions of all ways to ask."""
    return [(await lc.ask(llm, how, text)).response_metadata["frugal"] for how in lc.HOWS]


def reasons(decision: dict[str, Any]) -> list[str]:
    return [step["reason"] for step in decision["steps"]]


async def test_samples_are_drawn_and_paid_in_every_way() -> None:
    for decision in await everyway(cascade(SelfConsistency(3, 0.9), threshold=0.0), "What is 12 plus 7?"):
        assert reasons(decision) == ["sample"] * 3 + ["confident"]
        assert decision["steps"][3]["score"] * 3 == pytest.approx(round(decision["steps"][3]["score"] * 3))
        assert decision["cost_usd"] == pytest.approx(sum(step["cost_usd"] for step in decision["steps"]))
    calls = Calls()
    for text, k in (("What is 12 plus 7?", 4), ("How many days are in 3 weeks?", 2)):
        before = len(calls.costs)
        message = cascade(SelfConsistency(k, 0.9), threshold=1.0).invoke(text, {"callbacks": [calls]})
        decision = message.response_metadata["frugal"]
        made = calls.costs[before:]
        assert len(made) == len(decision["steps"])
        assert decision["cost_usd"] == pytest.approx(sum(made), rel=1e-12)
    assert calls.temperatures[1:5] == [0.9] * 4
    assert calls.temperatures[0] == 0


async def test_p_true_is_read_from_real_log_probabilities_in_every_way() -> None:
    seen = set()
    for decision in await everyway(cascade(ABOVE, MEDIUM, LARGE, threshold=0.0), "What is 42 plus 20?"):
        assert reasons(decision) == ["sample", "confident"]
        seen.add(round(decision["steps"][1]["score"], 6))
    assert len(seen) == 1  # no temperature: always the same
    assert seen.pop() not in (0.0, 1.0)


def test_p_true_tells_what_it_is_asked() -> None:
    questions = generate(80, seed=5, families=["addition"])
    llm = cascade(ABOVE, LARGE, LARGE, threshold=0.0, on_missing="raise")
    messages = llm.batch([question.text for question in questions])
    scores = [message.response_metadata["frugal"]["steps"][1]["score"] for message in messages]
    above = np.array([float(message.text) > 49 for message in messages], dtype=float)
    assert (auroc(np.array(scores), above) or 0) > 0.9


@pytest.mark.parametrize("scorer", [SelfVerification(), AUTOMIX])
def test_models_that_cannot_verify_give_no_signal(scorer: Scorer) -> None:
    decision = cascade(scorer).invoke("What is 12 plus 7?").response_metadata["frugal"]
    assert reasons(decision)[-2:] == ["no_signal", "last_tier"]
    assert decision["cost_usd"] == pytest.approx(sum(step["cost_usd"] for step in decision["steps"]))


def test_consistent_answers_are_right_more_often() -> None:
    questions = generate(120, seed=11)
    llm = cascade(SelfConsistency(5), threshold=0.0)
    messages = llm.batch([question.text for question in questions])
    right = [is_correct(message.text, question.answer) for message, question in zip(messages, questions, strict=True)]
    scores = [message.response_metadata["frugal"]["steps"][-1]["score"] for message in messages]
    assert (auroc(np.array(scores), np.array(right, dtype=float)) or 0) > 0.75


async def test_agreement_of_real_tiers() -> None:
    llm = cascade(Agreement(), SMALL, MEDIUM, LARGE)
    for decision in await everyway(llm, "Which is larger, 3 or 88?"):
        assert reasons(decision) == ["no_signal", "confident"]
        assert decision["tier"] == MEDIUM


async def test_hopeless_answers_are_not_escalated() -> None:
    for decision in await everyway(cascade(Margin(), threshold=Hopeless(1.0, below=0.999)), "What is 12 plus 7?"):
        assert reasons(decision) == ["hopeless"]
        assert decision["tier"] == SMALL


async def test_tool_calls_and_values_are_sampled_as_such() -> None:
    @tool
    def weather(city: str) -> str:
        """Tell the weather in a city."""
        return city

    class Larger(BaseModel):
        """The larger number."""

        value: int

    llm = cascade(SelfConsistency(3, 0.3), LARGE, LARGE, threshold=0.0)
    message = llm.bind_tools([weather]).invoke("Weather in Rome?")
    assert message.tool_calls[0]["args"] == {"city": "Rome"}
    assert reasons(message.response_metadata["frugal"]) == ["sample"] * 3 + ["confident"]
    structured = llm.with_structured_output(Larger, include_raw=True)
    for output in (structured.invoke("Which is larger, 3 or 88?"), await structured.ainvoke("Which is larger, 3 or 88?")):
        decision = output["raw"].response_metadata["frugal"]
        assert reasons(decision) == ["sample"] * 3 + ["confident"]
        assert output["parsed"] == Larger(value=88)
