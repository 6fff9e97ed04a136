"""What a wrapper costs: each way of calling against one direct call of a trivial model, side by side in one run.

    python tests/benchmarks/overhead.py [--rounds 40]

cascadeflow takes part when it is installed (pip install cascadeflow==1.2.0).
"""

import argparse
import asyncio
import contextlib
import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from side_by_side import atimed, measure, show, timed

from langchain_frugal import ChatFrugal

USAGE = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}


class Trivial(BaseChatModel):
    """Answers at once."""

    name_: str = "trivial"

    @property
    def _llm_type(self) -> str:
        return "trivial"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Paris is the capital.", usage_metadata=USAGE))])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return self._generate(messages)


class Twice:
    """Two direct calls: the floor of an escalation."""

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model

    def invoke(self, text: str) -> None:
        self.model.invoke(text)
        self.model.invoke(text)

    async def ainvoke(self, text: str) -> None:
        await self.model.ainvoke(text)
        await self.model.ainvoke(text)

    def batch(self, texts: list[str]) -> None:
        self.model.batch(texts)
        self.model.batch(texts)

    async def abatch(self, texts: list[str]) -> None:
        await self.model.abatch(texts)
        await self.model.abatch(texts)


def frugal(score: float, **settings: Any) -> ChatFrugal:
    prices = {"Trivial": (1, 1), "Trivial#2": (10, 10)}
    return ChatFrugal(models=[Trivial(), Trivial()], scorer=lambda query, answer: score, prices=prices, **settings)


def contestants() -> dict[str, Any]:
    direct = Trivial()
    table: dict[str, Any] = {
        "direct": direct,
        "with_fallbacks": Trivial().with_fallbacks([Trivial()]),
        "Frugal, accepted at tier 1": frugal(1.0, threshold=0.5),
        "Frugal, accepted, dynamic threshold": frugal(1.0, call_large=0.0),
        "two direct calls": Twice(direct),
        "Frugal, escalated": frugal(0.0, threshold=0.5),
        "Frugal, escalated, dynamic threshold": frugal(0.0, call_large=1.0),
    }
    try:
        from cascadeflow.integrations.langchain import CascadeFlow
    except ImportError:
        sys.stderr.write("cascadeflow is not installed, so it does not take part\n")
        return table
    for name, threshold in (("accepted", 0.0), ("escalated", 1.1)):
        table[f"cascadeflow, {name}"] = CascadeFlow(drafter=Trivial(), verifier=Trivial(), quality_threshold=threshold)
    return table


def ways() -> dict[str, Callable[[Any], float]]:
    texts = [f"What is the capital of country {index}?" for index in range(1000)]
    return {
        "invoke": lambda model: timed(lambda: model.invoke("hi"), 60),
        "ainvoke": lambda model: asyncio.run(atimed(lambda: model.ainvoke("hi"), 60)),
        "batch 1000": lambda model: timed(lambda: model.batch(texts), 1),
        "abatch 1000": lambda model: asyncio.run(atimed(lambda: model.abatch(texts), 1)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    sys.stdout.flush()
    with contextlib.redirect_stdout(io.StringIO()):
        models = contestants()
    with contextlib.redirect_stdout(io.StringIO()):  # cascadeflow prints at every call
        seconds = measure(models, ways(), lambda way: rounds if "1000" not in way else max(3, rounds // 5))
    show(seconds, "direct")


if __name__ == "__main__":
    main()
