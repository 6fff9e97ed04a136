"""The LLMs a wrapper is given, as tiers: named, priced, and knowing what to ask of each."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.types import PydanticProgramMode

from frugal_core.arguments import check_models, shown
from frugal_core.errors import ConfigurationError, UnknownModelError
from frugal_core.pricing import PriceBook
from frugal_core.provider_logprobs import missing_logprobs_hint, refuses_logprobs
from frugal_core.tiers import Experience, describe, unique_names
from frugal_core.types import Call, Tier
from llamaindex_frugal._logprobs import logprob_kwargs
from llamaindex_frugal._usage import refuses_stream_options, stream_usage_kwargs

_SHARED = ("temperature", "max_tokens")
"""Parameters that a built model takes over; others act only while a model is being built."""

_PACKAGES = "llama_index.llms."
_COMPATIBLE = frozenset({"openai_like", "langchain"})  # packages that speak to any provider


@dataclass(frozen=True)
class TierModel:
    """A tier and the LLM behind it.

    Attributes:
        about: What policies may know of it.
        llm: What is called.
        chats: Whether it is a chat model; others take text.
        logprobs: Call arguments that bring token log-probabilities; `None` when the model gives none.
        stream_usage: Call arguments that bring usage at the end of a stream.
        experience: What earlier calls have taught.
    """

    about: Tier
    llm: LLM
    chats: bool
    logprobs: Mapping[str, Any] | None
    stream_usage: Mapping[str, Any]
    experience: Experience = field(default_factory=Experience)
    _prompted: dict[tuple[str | None, PydanticProgramMode], LLM] = field(default_factory=dict)

    def kwargs(self, call: Call, given: Mapping[str, Any], *, logprobs: bool) -> dict[str, Any]:
        """Arguments for one call: the caller's own, and those its purpose asks for."""
        kwargs = _own(given)
        if logprobs and self.logprobs and not call.final and not self.experience.refuses_logprobs:
            kwargs = {**self.logprobs, **kwargs}
        if call.temperature is not None:
            kwargs["temperature"] = call.temperature
        return kwargs

    def stream_kwargs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for a live stream."""
        return _own(given) if self.experience.refuses_stream_usage else {**self.stream_usage, **_own(given)}

    def forgoes(self, error: BaseException) -> bool:
        """Whether a call failed for an extra that tiers are asked for (log-probabilities, usage of a stream).

        This tier is then asked for it no more; repeat the call if it was among its arguments.
        """
        if self.logprobs and refuses_logprobs(error):
            self.experience.refuses_logprobs = True
            return True
        if self.stream_usage and refuses_stream_options(error):
            self.experience.refuses_stream_usage = True
            return True
        return False

    def prompted(self, system_prompt: str | None, mode: PydanticProgramMode) -> LLM:
        """The LLM with the wrapper's settings, for calls in which it goes by its own.

        Args:
            system_prompt: What it puts before the messages.
            mode: How it is made to give values; with the default one, as it does of itself.
        """
        wanted = {"system_prompt": system_prompt}
        if mode != PydanticProgramMode.DEFAULT:
            wanted["pydantic_program_mode"] = mode
        if all(getattr(self.llm, name) == value for name, value in wanted.items()):
            return self.llm
        if (system_prompt, mode) not in self._prompted:
            self._prompted[system_prompt, mode] = self.llm.model_copy(update=wanted)
        llm = self._prompted[system_prompt, mode]
        llm.callback_manager = self.llm.callback_manager
        return llm

    def warn_unscored(self, fault: str | None) -> None:
        """Say once why this tier's answers have no score, and what to do."""
        label = f"{type(self.llm).__name__}({self.about.model!r})"
        self.experience.warn_unscored(fault, missing_logprobs_hint(label))


def build_tiers(models: Any, prices: PriceBook, parameters: Mapping[str, Any]) -> tuple[TierModel, ...]:
    """Tiers for what a user gave as `models`.

    Args:
        models: LLMs or `"provider:model"` strings, cheapest first.
        prices: Where to look prices and context windows up.
        parameters: Standard parameters (`temperature`, ...) for all of them; `None` is left out.

    Raises:
        ConfigurationError: There are none, or one is something else.
        UnknownModelError: A string that no installed integration answers to.
    """
    check_models(models)
    given = {name: value for name, value in parameters.items() if value is not None}
    llms = [_llm(model, given) for model in models]
    names = unique_names([llm.metadata.model_name or type(llm).__name__ for llm in llms])
    return tuple(_tier(name, llm, prices) for name, llm in zip(names, llms, strict=True))


def provider(llm: LLM) -> str | None:
    """Who serves a model, by the integration's package; `None` for a client of any provider."""
    module = type(llm).__module__
    if not module.startswith(_PACKAGES):
        return None
    package = module.removeprefix(_PACKAGES).split(".")[0]
    return None if package in _COMPATIBLE else package


def _own(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for one tier alone: integrations write into lists that they are given."""
    return {name: list(value) if type(value) is list else value for name, value in given.items()}


def _tier(name: str, llm: LLM, prices: PriceBook) -> TierModel:
    metadata = llm.metadata
    about = describe(
        name,
        metadata.model_name,
        provider(llm),
        prices,
        context_window=_context_window(llm),
        supports_tools=isinstance(llm, FunctionCallingLLM) and metadata.is_function_calling_model,
    )
    return TierModel(about, llm, metadata.is_chat_model, logprob_kwargs(llm), stream_usage_kwargs(llm))


def _context_window(llm: LLM) -> int | None:
    """A model's context window where somebody has said what it is: LlamaIndex's default of 3,900 is no limit."""
    metadata = llm.metadata
    if "context_window" not in metadata.model_fields_set or metadata.context_window <= 0:
        return None
    unsaid = "context_window" in type(llm).model_fields and "context_window" not in llm.model_fields_set
    return None if unsaid else metadata.context_window


def _llm(model: Any, parameters: Mapping[str, Any]) -> LLM:
    if isinstance(model, str):
        return _from_string(model, parameters)
    if not isinstance(model, LLM):
        foreign = any(cls.__module__.startswith("langchain") for cls in type(model).__mro__)
        raise ConfigurationError(
            f'{shown(model)} in models is a {type(model).__name__}: give LlamaIndex LLMs, or "provider:model" strings.'
            + (" Models of LangChain are for langchain_frugal.ChatFrugal." if foreign else "")
        )
    fields = type(model).model_fields
    update = {name: value for name, value in parameters.items() if name in _SHARED and name in fields}
    return model.model_copy(update=update) if update else model


def _from_string(name: str, parameters: Mapping[str, Any]) -> LLM:
    try:
        package, _, model = name.partition(":")
        if not (package and model):
            raise ValueError("It has no provider.")
        integration: Any = _llm_class(importlib.import_module(_PACKAGES + package.replace("-", "_")))
        fields = integration.model_fields
        llm: LLM = integration(model=model, **{name: value for name, value in parameters.items() if name in fields})
        _ = llm.metadata  # where some look their model up
    except Exception as error:  # an integration's client may want a key and raise what it likes
        raise UnknownModelError(
            f'{name!r} names no model that can be built here: {error} Use "provider:model", such as "openai:gpt-4o-mini", with '
            "that provider's integration installed (pip install llama-index-llms-openai), or give the LLM object itself."
        ) from error
    return llm


def _llm_class(integration: ModuleType) -> type[LLM]:
    """The first LLM that an integration exports: by convention the one it is named for."""
    for name in integration.__all__:
        exported = getattr(integration, name)
        if isinstance(exported, type) and issubclass(exported, LLM):
            return exported
    raise ValueError(f"{integration.__name__} exports no LLM.")
