"""Scorers that ask, on the playground's real models: sampled at a temperature, read by log-probabilities, paid to the cent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import li
from frugal_core.evaluation.metrics import auroc
from frugal_core.playground.language_model import MODEL_NAMES, PRICES_USD_PER_1M
from frugal_core.playground.questions import generate, is_correct
from llamaindex_frugal import AUTOMIX, Agreement, FrugalLLM, Hopeless, Margin, Scorer, SelfConsistency, SelfVerification
from llamaindex_frugal.playground import PlaygroundLLM

SMALL, MEDIUM, LARGE = MODEL_NAMES
ABOVE = SelfVerification("Is {answer} larger than 49?")
"""A question that the playground's models understand, other than whether an answer is right."""


def charges(handler: LlamaDebugHandler) -> list[float]:
    """What each call cost, by the tokens it reported, in USD."""
    costs = []
    for _, end in handler.get_event_pairs(CBEventType.LLM):
        raw = end.payload["response"].raw
        read, written = PRICES_USD_PER_1M[raw["model"]]
        costs.append((raw["usage"]["prompt_tokens"] * read + raw["usage"]["completion_tokens"] * written) / 1e6)
    return costs


def cascade(scorer: Scorer | None, *names: str, threshold: Any = 0.5, **settings: Any) -> FrugalLLM:
    return FrugalLLM([PlaygroundLLM(name) for name in names or (SMALL, LARGE)], scorer=scorer, threshold=threshold, **settings)


async def everyway(llm: FrugalLLM, text: str) -> list[dict[str, Any]]:
    """The decisions of all ways to ask."""
    return [li.decision(await li.ask(llm, how, text)) for how in li.HOWS]


def reasons(decision: dict[str, Any]) -> list[str]:
    return [step["reason"] for step in decision["steps"]]


async def test_samples_are_drawn_and_paid_in_every_way() -> None:
    for decision in await everyway(cascade(SelfConsistency(3, 0.9), threshold=0.0), "What is 12 plus 7?"):
        assert reasons(decision) == ["sample"] * 3 + ["confident"]
        assert decision["steps"][3]["score"] * 3 == pytest.approx(round(decision["steps"][3]["score"] * 3))
        assert decision["cost_usd"] == pytest.approx(sum(step["cost_usd"] for step in decision["steps"]))


def test_what_is_charged_is_what_was_called() -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    for text, k in (("What is 12 plus 7?", 4), ("How many days are in 3 weeks?", 2)):
        before = len(handler.get_event_pairs(CBEventType.LLM))
        llm = cascade(SelfConsistency(k, 0.9), threshold=1.0, callback_manager=CallbackManager([handler]))
        decision = li.decision(llm.complete(text))
        made = charges(handler)[before:]
        assert len(made) == len(decision["steps"])
        assert decision["cost_usd"] == pytest.approx(sum(made), rel=1e-12)


async def test_p_true_is_read_from_real_log_probabilities_in_every_way() -> None:
    seen = set()
    for decision in await everyway(cascade(ABOVE, MEDIUM, LARGE, threshold=0.0), "What is 42 plus 20?"):
        assert reasons(decision) == ["sample", "confident"]
        seen.add(round(decision["steps"][1]["score"], 6))
    assert len(seen) == 1  # no temperature: always the same
    assert seen.pop() not in (0.0, 1.0)


@pytest.mark.parametrize("scorer", [SelfVerification(), AUTOMIX])
def test_models_that_cannot_verify_give_no_signal(scorer: Scorer) -> None:
    decision = li.decision(cascade(scorer).complete("What is 12 plus 7?"))
    assert reasons(decision)[-2:] == ["no_signal", "last_tier"]
    assert decision["cost_usd"] == pytest.approx(sum(step["cost_usd"] for step in decision["steps"]))


def test_consistent_answers_are_right_more_often() -> None:
    questions = generate(120, seed=11)
    llm = cascade(SelfConsistency(5), threshold=0.0)
    replies = [llm.complete(question.text) for question in questions]
    right = [is_correct(reply.text, question.answer) for reply, question in zip(replies, questions, strict=True)]
    scores = [li.decision(reply)["steps"][-1]["score"] for reply in replies]
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


def test_tool_calls_and_values_are_sampled_as_such() -> None:
    def weather(city: str) -> str:
        """Tell the weather in a city."""
        return city

    class Larger(BaseModel):
        """The larger number."""

        value: int

    handler = LlamaDebugHandler(print_trace_on_end=False)
    manager = CallbackManager([handler])
    llm = cascade(SelfConsistency(3, 0.3), LARGE, LARGE, threshold=0.0, callback_manager=manager)
    response = llm.chat_with_tools([FunctionTool.from_defaults(weather)], "Weather in Rome?")
    assert llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"city": "Rome"}
    assert reasons(li.decision(response)) == ["sample"] * 3 + ["confident"]
    before = len(handler.get_event_pairs(CBEventType.LLM))
    assert llm.structured_predict(Larger, PromptTemplate("Which is larger, 3 or 88?")) == Larger(value=88)
    assert len(handler.get_event_pairs(CBEventType.LLM)) - before == 4
