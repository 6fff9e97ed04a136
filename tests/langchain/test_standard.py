"""LangChain's own test suites for chat models, over ChatFrugal. None of their tests is overridden."""

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from frugal_core.playground.server import PlaygroundServer
from frugal_core.types import Answer, Query
from langchain_frugal import ChatFrugal, Margin, SchemaValid
from langchain_frugal.playground import ChatPlayground

PRICES = {"playground-small": (0.05, 0.05), "playground-medium": (0.4, 0.4), "playground-large": (3.0, 3.0)}
MODELS = list(PRICES)
SIGNAL = Margin().or_else(SchemaValid())  # tool calls come without log-probabilities


def scorer(query: Query, answer: Answer) -> float | None:
    """The suite wants exactly one model run for a structured value, so the first tier's is served."""
    return 1.0 if answer.parsed is not None else SIGNAL(query, answer)


def in_process() -> list[BaseChatModel]:
    return [ChatPlayground(model=name) for name in MODELS]


class InProcess:
    """Tiers in the same process."""

    @property
    def chat_model_class(self) -> type[ChatFrugal]:
        return ChatFrugal

    @property
    def chat_model_params(self) -> dict:
        return {"models": in_process(), "threshold": self.threshold, "scorer": scorer}

    threshold: float | list[float] = 0.5


# Both warnings are the client's own: it says so of every provider that it gets a structured answer from.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings", "ignore:Received a Pydantic BaseModel V1 schema")
class OverTheWire(InProcess):
    """Tiers behind OpenAI's protocol, through OpenAI's own client."""

    @property
    def chat_model_params(self) -> dict:
        tiers = [ChatOpenAI(model=name, base_url=self.url, api_key="none", stream_usage=True, max_retries=0) for name in MODELS]
        return {"models": tiers, "threshold": self.threshold, "scorer": scorer, "prices": PRICES}

    url = "http://localhost/v1"

    @pytest.fixture(autouse=True)
    def serve(self):
        with PlaygroundServer() as server:
            self.url = f"{server.url}/v1"
            yield


class TestUnit(InProcess, ChatModelUnitTests):
    pass


class TestUnitOpenAI(InProcess, ChatModelUnitTests):
    @property
    def chat_model_params(self) -> dict:
        return {"models": [ChatOpenAI(model=name, api_key="none") for name in MODELS], "prices": PRICES}


class TestIntegrationAccepting(InProcess, ChatModelIntegrationTests):
    """Every draft of the first tier is served."""

    threshold = 0.0


class TestIntegrationDeciding(InProcess, ChatModelIntegrationTests):
    """Some drafts are served, some are not."""


class TestIntegrationOpenAIEscalating(OverTheWire, ChatModelIntegrationTests):
    """Everything but structured values comes from the last tier."""

    threshold = 1.0


class TestIntegrationOpenAIDeciding(OverTheWire, ChatModelIntegrationTests):
    """Some drafts are served, some are not."""
