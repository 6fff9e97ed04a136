"""The models a wrapper is given, as tiers: named, priced, and knowing how to be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.runnables import Runnable, RunnableBinding, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase

from frugal_core.arguments import check_models, shown
from frugal_core.errors import ConfigurationError, UnknownModelError
from frugal_core.pricing import PriceBook
from frugal_core.provider_logprobs import refuses_logprobs
from frugal_core.tiers import Experience, describe, unique_names
from frugal_core.types import Call, Tier
from langchain_frugal._logprobs import logprob_kwargs, missing_logprobs_hint
from langchain_frugal._settings import settings_of

_SHARED = ("temperature", "max_tokens", "stop")
"""Standard parameters that a built model object takes over; others act only while a model is being built."""


@dataclass(frozen=True)
class TierModel:
    """A tier and the runnable behind it.

    Attributes:
        about: What policies may know of it.
        runnable: What is called.
        model: The chat model in it, `None` for a chain.
        client: The model as bound, also where `runnable` is a chain made from it.
        takes_kwargs: Whether call arguments (`stop`, ...) may be passed on: it is a chat model, bound or not.
        logprobs: Call arguments that bring token log-probabilities; `None` when the model gives none.
        plain: The same without log-probabilities, where they cannot be asked for by an argument.
        experience: What earlier calls have taught.
    """

    about: Tier
    runnable: Runnable[Any, Any]
    model: BaseChatModel | None
    client: Runnable[Any, Any]
    takes_kwargs: bool
    logprobs: Mapping[str, Any] | None
    plain: Runnable[Any, Any] | None = None
    experience: Experience = field(default_factory=Experience)

    def called(self, call: Call, given: Mapping[str, Any]) -> Runnable[Any, Any]:
        """The runnable for one call. Nobody looks at the log-probabilities of a final one."""
        runnable = self.plain if self.plain and (call.final or self.experience.refuses_logprobs) else self.runnable
        if self.takes_kwargs or self.model is None:
            return runnable
        kwargs = given if call.temperature is None else {**given, "temperature": call.temperature}
        return _bound_inside(runnable, kwargs, over=True) if kwargs else runnable

    def kwargs(self, call: Call, given: Mapping[str, Any], *, logprobs: bool) -> dict[str, Any]:
        """Arguments for one call: the caller's own, and those its purpose asks for."""
        if not self.takes_kwargs:
            return {}
        ask = logprobs and self.logprobs and not call.final and not self.experience.refuses_logprobs
        kwargs = {**self.logprobs, **given} if ask and self.logprobs else dict(given)
        if call.temperature is not None:
            kwargs["temperature"] = call.temperature
        return kwargs

    def map(self, change: Callable[[Any], Any]) -> TierModel:
        """The same tier with another runnable, made from its model. What the user had bound stays bound."""
        runnable = _map(self.runnable, change)
        return replace(self, runnable=runnable, client=runnable)

    def chained(self, change: Callable[[Any], Any], *, logprobs: bool) -> TierModel:
        """The same tier behind a chain made from its model, which call arguments do not reach.

        Args:
            change: Makes the chain of a model.
            logprobs: Have the model itself ask for log-probabilities.
        """
        asked = self.logprobs if logprobs and self.logprobs else {}
        plain = _map(self.runnable, change)
        runnable = _bound_inside(plain, asked) if asked else plain
        return replace(self, runnable=runnable, plain=plain if asked else None, takes_kwargs=False, logprobs=None)

    def forgoes_logprobs(self, error: BaseException) -> bool:
        """Whether a call failed because it asked for log-probabilities. This tier then asks no more; repeat the call."""
        if not (self.logprobs or self.plain) or not refuses_logprobs(error):
            return False
        self.experience.refuses_logprobs = True
        return True

    def warn_unscored(self, fault: str | None) -> None:
        """Say once why this tier's answers have no score (a fault of the scorer, else no log-probabilities), and what to do."""
        self.experience.warn_unscored(fault, missing_logprobs_hint(self.client))


def build_tiers(models: Sequence[Any], prices: PriceBook, parameters: Mapping[str, Any]) -> tuple[TierModel, ...]:
    """Tiers for what a user gave as `models`.

    Args:
        models: Chat models, Runnables that answer with messages, or `"provider:model"` strings, cheapest first.
        prices: Where to look prices and context windows up.
        parameters: Standard parameters (`temperature`, ...) for all of them; `None` and empty lists are left out.

    Raises:
        ConfigurationError: There are none, or one is something else.
        UnknownModelError: A string that no installed provider package answers to.
    """
    check_models(models)
    runnables = [
        _runnable(model, {name: value for name, value in parameters.items() if value is not None and value != []})
        for model in models
    ]
    names = unique_names([_given_name(each) or _model_name(each) or type(each).__name__ for each in runnables])
    return tuple(_tier(name, runnable, prices) for name, runnable in zip(names, runnables, strict=True))


def adapted(
    tiers: Sequence[TierModel], change: Callable[[TierModel], TierModel], what: Literal["tools", "structured output"]
) -> tuple[TierModel, ...]:
    """The tiers with `change` applied. One that cannot do it stays as it is, and is skipped when it comes to asking.

    Raises:
        NotImplementedError: None of them can.
    """
    changed: list[TierModel] = []
    problems: list[Exception] = []
    for tier in tiers:
        try:
            changed.append(change(tier))
        except (NotImplementedError, AttributeError) as error:
            problems.append(error)
            about = replace(tier.about, supports_tools=False) if what == "tools" else replace(tier.about, supports_schema=False)
            changed.append(replace(tier, about=about))
    if len(problems) == len(tiers):
        raise NotImplementedError(f"None of the models can do {what}: {problems[-1]!r}") from problems[-1]
    return tuple(changed)


def identity(tier: TierModel) -> str:
    """All that a tier's answers depend on, for cache keys. A chain with code in it is like no other."""
    return identity_of(tier.runnable, tier.experience.unique)


def identity_of(runnable: Runnable[Any, Any], unique: object) -> str:
    """All that a runnable's answers depend on, for cache keys.

    Core knows the settings of a model that LangChain can serialize, and of one that has `_identifying_params`. Of any other,
    as most people's own are, the class and all that can be seen of its fields count (`settings_of`). Define
    `_identifying_params` where that is too little, as with a setting inside an object, or too much, as with a counter among
    the fields, which makes every call a miss.

    Args:
        runnable: A chat model, or a chain.
        unique: What tells a chain from others if there is code in it.
    """
    kwargs: dict[str, Any] = {}
    while isinstance(runnable, RunnableBindingBase):
        kwargs = {**runnable.kwargs, **kwargs}
        runnable = runnable.bound
    if isinstance(runnable, BaseChatModel):
        return f"{type(runnable).__name__}:{runnable._get_llm_string(**kwargs)}{settings_of(runnable)}"
    written = dumps(runnable)
    return f"{written}:{kwargs}:{unique if 'not_implemented' in written else ''}"


def chat_model(runnable: Runnable[Any, Any]) -> BaseChatModel | None:
    """The chat model a runnable is, or was bound from; `None` for a chain."""
    while isinstance(runnable, RunnableBindingBase):
        runnable = runnable.bound
    return runnable if isinstance(runnable, BaseChatModel) else None


def _runnable(model: Any, parameters: Mapping[str, Any]) -> Runnable[Any, Any]:
    if isinstance(model, str):
        return _from_string(model, parameters)
    if not isinstance(model, Runnable):
        foreign = any(cls.__module__.startswith("llama_index") for cls in type(model).__mro__)
        raise ConfigurationError(
            f"{shown(model)} in models is a {type(model).__name__}: give chat models, Runnables that answer with messages, or "
            '"provider:model" strings.' + (" LLMs of LlamaIndex are for llamaindex_frugal.FrugalLLM." if foreign else "")
        )
    own = {name: parameters[name] for name in _SHARED if name in parameters and name in getattr(model, "model_fields_set", ())}
    shared = {
        name: value
        for name, value in parameters.items()
        if name in _SHARED and name not in own and name in getattr(type(model), "model_fields", ())
    }
    return copied(model, shared) if shared else model


def copied(model: Any, update: Mapping[str, Any]) -> Any:
    """A copy of a model with other settings, as far as it has them."""
    copy = model.model_copy(update={name: value for name, value in update.items() if name in type(model).model_fields})
    copy.__dict__.pop("_serialized", None)  # cached by core; it would name the settings of the original in cache keys
    return copy


def _from_string(name: str, parameters: Mapping[str, Any]) -> BaseChatModel:
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise UnknownModelError(
            f"{name!r} is named by a string, which needs the package langchain: pip install 'langchain-frugal[models]', or "
            "give the model object itself."
        ) from None
    try:
        if not name:
            raise ValueError("It is empty.")  # core makes a model of it that is chosen later
        model = init_chat_model(name, **parameters)
    except Exception as error:  # a provider's client may want a key and raise what it likes
        raise UnknownModelError(
            f'{name!r} names no model that can be built here: {error} Use "provider:model", such as "openai:gpt-4o-mini", with '
            "that provider's package installed, or give the model object itself."
        ) from error
    assert isinstance(model, BaseChatModel)
    return model


def _tier(name: str, runnable: Runnable[Any, Any], prices: PriceBook) -> TierModel:
    model = chat_model(runnable)
    profile = (model.profile if model is not None else None) or {}
    about = describe(
        name,
        _model_name(_last(runnable)),
        provider(_last(runnable)),
        prices,
        context_window=profile.get("max_input_tokens"),
        supports_tools=profile.get("tool_calling") is not False,
    )
    return TierModel(
        about, runnable, model, runnable, model is not None, logprob_kwargs(runnable) if model is not None else None
    )


def _map(runnable: Runnable[Any, Any], change: Callable[[Any], Any]) -> Runnable[Any, Any]:
    if not isinstance(runnable, RunnableBindingBase):
        changed: Runnable[Any, Any] = change(runnable)
        return changed
    inner = _map(runnable.bound, change)
    if not isinstance(runnable, RunnableBinding):  # `.with_retry()`
        return runnable.model_copy(update={"bound": inner})
    kwargs = {**runnable.kwargs, **inner.kwargs} if isinstance(inner, RunnableBinding) else runnable.kwargs
    bound = inner.bound if isinstance(inner, RunnableBinding) else inner
    if not isinstance(bound, BaseChatModel):
        bound, kwargs = _bound_inside(inner, runnable.kwargs), {}
    return RunnableBinding(bound=bound, kwargs=kwargs, config=runnable.config, config_factories=runnable.config_factories)


def _bound_inside(runnable: Runnable[Any, Any], kwargs: Mapping[str, Any], *, over: bool = False) -> Runnable[Any, Any]:
    """Bind arguments to the model that a chain begins with, since a chain passes none on.

    Args:
        runnable: The chain.
        kwargs: The arguments.
        over: Whether they win over what is bound to the model already.
    """
    if isinstance(runnable, RunnableSequence):
        return RunnableSequence(_bound_inside(runnable.first, kwargs, over=over), *runnable.middle, runnable.last)
    if isinstance(runnable, RunnableParallel):
        return RunnableParallel({name: _bound_inside(step, kwargs, over=over) for name, step in runnable.steps__.items()})
    if isinstance(runnable, RunnableBindingBase):
        if isinstance(runnable.bound, BaseChatModel):
            return runnable.bind(**(kwargs if over else {**kwargs, **runnable.kwargs}))
        return runnable.model_copy(update={"bound": _bound_inside(runnable.bound, kwargs, over=over)})
    return runnable.bind(**kwargs) if isinstance(runnable, BaseChatModel) else runnable


def _given_name(runnable: Runnable[Any, Any]) -> str | None:
    """The name a user gave it: `RunnableSequence(…, name=…)`, `ChatOpenAI(…, name=…)` or `.with_config(run_name=…)`."""
    while isinstance(runnable, RunnableBindingBase):
        if name := runnable.config.get("run_name"):
            return name
        runnable = runnable.bound
    return runnable.name if isinstance(runnable, (BaseChatModel, RunnableSequence)) else None


def _last(runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """What of a chain answers, and is paid: a prompt before it has no price."""
    while True:
        inner = runnable
        while isinstance(inner, RunnableBindingBase):
            inner = inner.bound
        if not isinstance(inner, RunnableSequence):
            return runnable
        runnable = inner.last


def _model_name(runnable: Runnable[Any, Any]) -> str | None:
    return _ls_param(runnable, "ls_model_name")


def provider(runnable: Runnable[Any, Any]) -> str | None:
    return _ls_param(runnable, "ls_provider")


def _ls_param(runnable: Runnable[Any, Any], name: str) -> str | None:
    model = chat_model(runnable)
    kwargs = runnable.kwargs if isinstance(runnable, RunnableBindingBase) else {}
    value = model._get_ls_params(**kwargs).get(name) if model is not None else None
    return value if isinstance(value, str) else None
