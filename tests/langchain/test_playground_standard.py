"""LangChain's standard suites: over the playground in this process, and over OpenAI's real client and a real wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from frugal_core.playground.server import PlaygroundServer
from langchain_frugal.playground import ChatPlayground
from lc import forgetful

MODEL = "playground-large"
OTHER_MODEL = "playground-medium"


class TestChatPlaygroundUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatPlayground]:
        return ChatPlayground

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL}


class TestChatPlaygroundIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[ChatPlayground]:
        return ChatPlayground

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return OTHER_MODEL


# Both warnings are the client's own: it says so of every provider that it gets a structured answer from.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings", "ignore:Received a Pydantic BaseModel V1 schema")
class TestChatOpenAIOverTheWire(ChatModelIntegrationTests):
    url = ""

    @pytest.fixture(autouse=True)
    def serve(self) -> Iterator[None]:
        with PlaygroundServer() as server:
            self.url = server.url
            yield

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        url, http = f"{self.url}/v1", forgetful()
        return {"model": MODEL, "base_url": url, "api_key": "any", "stream_usage": True, "http_async_client": http}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return OTHER_MODEL
