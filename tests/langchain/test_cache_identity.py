"""What tells models of one class from each other in the keys of a cache, and whose the answers are."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.chat_models import SimpleChatModel
from langchain_core.messages import BaseMessage
from pydantic import BaseModel, PrivateAttr, SecretStr

import langchain_frugal
from caching import cache
from frugal_core.errors import ConfigurationError
from langchain_frugal import ChatFrugal
from langchain_frugal._settings import settings_of
from lc import accepting, decision

QUESTION = "Who are you?"


class Style(BaseModel):
    """Settings within settings."""

    tone: str = "plain"


class Own(SimpleChatModel):
    """As people write them: fields, and nothing that says which of them matter."""

    model: str = "tiny"
    seed: int | None = None
    style: Style = Style()
    extra: dict[str, Any] = {}
    api_key: str = "sk-1"
    secret: SecretStr = SecretStr("s")
    _system: str = PrivateAttr("")
    _calls: int = PrivateAttr(0)

    @property
    def _llm_type(self) -> str:
        return "own"

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        self._calls += 1
        return f"{self.model} {self.style.tone} {self._calls}"


class Telling(Own):
    """One that says which of its fields matter."""

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model}


def wrapped(model: Any, shared: Any) -> ChatFrugal:
    return ChatFrugal(models=[model], cache=shared, prices={model.model: (0, 0)} if hasattr(model, "model") else None)


@pytest.mark.parametrize("change", [{"model": "huge"}, {"seed": 1}, {"style": Style(tone="pirate")}, {"extra": {"top_k": 5}}])
def test_models_with_other_settings_share_no_answers(change: dict[str, Any]) -> None:
    shared = cache()
    one, same, other = (wrapped(Own(**settings), shared) for settings in ({}, {}, change))
    assert one.invoke(QUESTION).text == same.invoke(QUESTION).text == one.invoke(QUESTION).text
    assert decision(other.invoke(QUESTION))["cache"] == "miss"
    assert shared.stats().exact_hits == 2


def test_private_texts_count_and_private_counters_do_not() -> None:
    model = Own()
    before = settings_of(model)
    model.invoke(QUESTION)
    assert settings_of(model) == before
    model._system = "Speak like a pirate."
    assert settings_of(model) != before


@pytest.mark.parametrize(
    "change", [{"api_key": "sk-2"}, {"secret": SecretStr("t")}, {"tags": ["a"]}, {"metadata": {"a": 1}}, {"verbose": True}]
)
def test_secrets_and_labels_make_no_difference(change: dict[str, Any]) -> None:
    assert settings_of(Own(**change)) == settings_of(Own())


def test_a_model_that_says_what_matters_is_believed() -> None:
    assert settings_of(Telling(seed=1)) == settings_of(Telling()) != settings_of(Own())


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_a_namespace_that_cannot_be_told_is_an_error(how: str) -> None:
    def whose() -> str:
        raise LookupError("no tenant")

    llm, first, _ = accepting(cache=cache(namespace=whose))
    with pytest.raises(LookupError, match="no tenant"):
        _ = llm.invoke(QUESTION) if how == "invoke" else await llm.ainvoke(QUESTION)
    assert len(first.log) == 0


@pytest.mark.parametrize(
    ("name", "meant"),
    [("cache_namepsace", "cache_namespace"), ("cache_refresh", "refresh_cache"), ("cache_no_cache", "no_cache")],
)
def test_a_misspelt_option_in_the_config_is_an_error(name: str, meant: str) -> None:
    llm, first, _ = accepting(cache=cache())
    with pytest.raises(ConfigurationError, match=f"{name}.*Did you mean '{meant}'"):
        llm.invoke(QUESTION, {"configurable": {name: "a"}})
    llm.invoke(QUESTION, {"configurable": {"thread_id": "1", "tenant": "a"}})
    assert len(first.log) == 1


def test_every_public_name_is_listed() -> None:
    assert dir(langchain_frugal) == sorted(langchain_frugal.__all__)
