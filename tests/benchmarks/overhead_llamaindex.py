"""What the LlamaIndex wrapper costs against one direct call of a trivial LLM, side by side in one run.

python tests/benchmarks/overhead_llamaindex.py [--rounds 40]
"""

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from side_by_side import atimed, measure, show, timed

from llamaindex_frugal import FrugalLLM

RAW = {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}
ASKED = [ChatMessage("What is the capital of France?")]


class Trivial(FunctionCallingLLM):
    """Answers at once."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="trivial", is_chat_model=True, is_function_calling_model=True)

    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return ChatResponse(message=ChatMessage("Paris is the capital.", role="assistant"), raw=RAW)

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return ChatResponse(message=ChatMessage("Paris is the capital.", role="assistant"), raw=RAW)

    @llm_chat_callback()
    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        return (ChatResponse(message=ChatMessage("Paris", role="assistant"), raw=RAW, delta="Paris") for _ in range(1))

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="Paris is the capital.", raw=RAW)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="Paris is the capital.", raw=RAW)

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _prepare_chat_with_tools(self, tools: Any, **kwargs: Any) -> dict[str, Any]:
        raise NotImplementedError


class Twice:
    """Two direct calls: the floor of an escalation."""

    def __init__(self, model: Trivial) -> None:
        self.model = model

    def chat(self, messages: Any) -> None:
        self.model.chat(messages)
        self.model.chat(messages)

    async def achat(self, messages: Any) -> None:
        await self.model.achat(messages)
        await self.model.achat(messages)


def frugal(score: float, **settings: Any) -> FrugalLLM:
    prices = {"trivial": (1, 1), "trivial#2": (10, 10)}
    return FrugalLLM(models=[Trivial(), Trivial()], scorer=lambda query, answer: score, prices=prices, **settings)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    contestants = {
        "direct": Trivial(),
        "Frugal, accepted at tier 1": frugal(1.0, threshold=0.5),
        "Frugal, accepted, dynamic threshold": frugal(1.0, call_large=0.0),
        "two direct calls": Twice(Trivial()),
        "Frugal, escalated": frugal(0.0, threshold=0.5),
        "Frugal, escalated, dynamic threshold": frugal(0.0, call_large=1.0),
    }
    ways: dict[str, Callable[[Any], float]] = {
        "chat": lambda model: timed(lambda: model.chat(ASKED), 60),
        "achat": lambda model: asyncio.run(atimed(lambda: model.achat(ASKED), 60)),
    }
    show(measure(contestants, ways, lambda way: rounds), "direct")


if __name__ == "__main__":
    main()
