"""LangChain's own suites for caches, none of them skipped."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_tests.integration_tests import AsyncCacheTestSuite, ChatModelIntegrationTests, SyncCacheTestSuite

from caching import Words
from frugal_core.cache import SemanticCache
from frugal_core.types import Answer, Query
from langchain_frugal import ChatFrugal, FrugalCache, Margin, SchemaValid
from langchain_frugal.playground import ChatPlayground

SIGNAL = Margin().or_else(SchemaValid())  # tool calls come without log-probabilities
KINDS = ("exact", "semantic")


def _cache(request: Any, tmp_path: Any) -> FrugalCache:
    if request.param == "exact":
        return FrugalCache("memory://", embed=None)
    return FrugalCache(SemanticCache("memory://", embed=Words(), decider=0.8))


class TestFrugalCache(SyncCacheTestSuite):
    @pytest.fixture(params=KINDS)
    def cache(self, request: Any, tmp_path: Any) -> FrugalCache:
        return _cache(request, tmp_path)


class TestFrugalCacheAsync(AsyncCacheTestSuite):
    @pytest.fixture(params=KINDS)
    async def cache(self, request: Any, tmp_path: Any) -> FrugalCache:
        return _cache(request, tmp_path)


def scorer(query: Query, answer: Answer) -> float | None:
    """The suite wants exactly one model run for a structured value, so the first tier's is served."""
    return 1.0 if answer.parsed is not None else SIGNAL(query, answer)


class TestChatFrugalWithACache(ChatModelIntegrationTests):
    """The suite for chat models with a cache in front: what is asked twice within a test is answered once."""

    @property
    def chat_model_class(self) -> type[ChatFrugal]:
        return ChatFrugal

    @property
    def chat_model_params(self) -> dict[str, Any]:
        tiers = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")]
        return {"models": tiers, "threshold": 0.0, "scorer": scorer, "cache": SemanticCache("memory://", embed=None)}

    @pytest.mark.xfail(strict=True, reason="asks the same twice, and wants a run of a model each time; a hit has none")
    @pytest.mark.parametrize("schema_type", ["pydantic", "typeddict", "json_schema"])
    def test_structured_output(self, model: Any, schema_type: str) -> None:
        super().test_structured_output(model, schema_type)

    @pytest.mark.xfail(strict=True, reason="asks the same twice, and wants a run of a model each time; a hit has none")
    @pytest.mark.parametrize("schema_type", ["pydantic", "typeddict", "json_schema"])
    async def test_structured_output_async(self, model: Any, schema_type: str) -> None:
        await super().test_structured_output_async(model, schema_type)
