"""Asking a LlamaIndex LLM for token log-probabilities, and finding them in what it returned.

Integrations differ in how log-probabilities are asked for, in whose call arguments reach the provider at all, and in
where the answer lands. The first two are the table `_DIALECTS`, keyed by class name so that no provider package is
imported; the third is `extract_logprobs`.

Not in the table, because they drop the answer or never forward the question: `Ollama`, `Vllm` and `VllmServer`,
`LMStudio` and `Perplexity`. The servers behind the first three speak OpenAI's protocol as well, and give log-probabilities
through `OpenAILike(api_base=..., is_chat_model=True)`. `Anthropic`, `BedrockConverse` and `MistralAI` have none to give.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse, LogProb
from llama_index.core.llms import LLM

from frugal_core.fields import field
from frugal_core.provider_logprobs import is_reasoning_model, parse_logprobs
from frugal_core.types import TokenLogprob

_OF_COMPLETIONS = 5
"""The most alternatives that OpenAI's legacy completions take."""

_OF_RESPONSES = "message.output_text.logprobs"
"""What the Responses API is to include."""


def logprob_kwargs(llm: LLM, top: int = 10) -> dict[str, Any] | None:
    """Find the call kwargs that make an LLM return token log-probabilities with alternatives.

    What the user set himself (a field, or `additional_kwargs`) is never overridden, only completed. OpenAI's class sends its
    own fields in place of call kwargs: where the user set `logprobs=True` alone, it would send `top_logprobs=0`, so the
    number travels in `extra_body`, unless the user has one of his own; then the answer has no alternatives.

    Args:
        llm: Any LLM.
        top: Number of alternatives wanted per token; capped at what the provider takes.

    Returns:
        Kwargs for `llm.chat(messages, **kwargs)`; `{}` if the LLM returns log-probabilities as it is; `None` if it cannot,
        is not known to, or was told by the user not to. Some values are containers (`extra_body`, `generation_config`,
        `include`), so a caller with kwargs of the same name lets his own win.
    """
    asks = (_DIALECTS[cls.__name__] for cls in type(llm).__mro__ if cls.__name__ in _DIALECTS)
    return next(asks, _never)(llm, top)


def extract_logprobs(response: ChatResponse | CompletionResponse) -> tuple[TokenLogprob, ...]:
    """Read the log-probabilities of an answer's tokens, in order, whichever provider gave them.

    The provider's own response (`raw`, an SDK's object or a dict) goes first. `response.logprobs` is the fallback: it lists
    each token's alternatives without telling which of them was sampled, so this is recovered from the text.

    Args:
        response: What an LLM returned. A stream's response tells of its own few tokens only, which is no signal about the
            answer and counts as none; the Responses API repeats the whole answer in its last one.

    Returns:
        One entry per token; `()` where there are none, where they are malformed, or where the fallback's alternatives do
        not spell out the text from its first character to its last.

    >>> found = {"content": [{"token": "Yes", "logprob": -0.1}]}
    >>> extract_logprobs(CompletionResponse(text="Yes", raw={"choices": [{"logprobs": found}]}))
    (TokenLogprob(token='Yes', logprob=-0.1, top=()),)
    >>> extract_logprobs(CompletionResponse(text="Yes", logprobs=[[LogProb(token="Yes", logprob=-0.1)]]))
    (TokenLogprob(token='Yes', logprob=-0.1, top=(('Yes', -0.1),)),)
    """
    raw = response.raw
    if response.delta is not None:
        event = None if field(raw, "choices") is not None else field(raw, "response")
        return () if event is None else parse_logprobs(_in_raw(event))
    if raw is not None and (found := _in_raw(raw)) is not None:
        return parse_logprobs(found)
    if not response.logprobs:
        return ()
    text = response.message.content if isinstance(response, ChatResponse) else response.text
    return parse_logprobs(_aligned(response.logprobs, (text or "").encode()))


# --- who can be asked, and how ---


def _never(llm: Any, top: int) -> None:
    return None


def _openai(llm: Any, top: int, most: int = 20, counts: bool = False) -> dict[str, Any] | None:
    if any(is_reasoning_model(getattr(llm, name, None) or "") for name in ("model", "engine")):  # engine: Azure's deployment
        effort = llm.additional_kwargs.get("reasoning_effort", getattr(llm, "reasoning_effort", None))
        if effort != "none":
            return None
    if not llm.metadata.is_chat_model:
        return _in_words(llm, top, _OF_COMPLETIONS, counts=True)
    return _in_words(llm, top, most, counts)


def _in_words(llm: Any, top: int, most: int, counts: bool = False) -> dict[str, Any] | None:
    """Ask by `logprobs=True, top_logprobs=n`, or by `logprobs=n` where the switch itself `counts` the alternatives."""
    extra = getattr(llm, "additional_kwargs", None) or {}
    switch = extra.get("logprobs", llm.logprobs if "logprobs" in llm.model_fields_set else None)
    if switch is False:
        return None
    count = switch if counts and switch is not True else None
    if count is None:
        count = extra.get("top_logprobs", _top_field(llm))
    number = min(top, most) if count is None else count
    wanted = {"logprobs": number} if counts else {"logprobs": True, "top_logprobs": number}
    sent = {name: value for name, value in {**_fields_sent(llm), **extra}.items() if name in wanted}
    missing = {name: value for name, value in wanted.items() if sent.get(name) != value}
    if not missing.keys() & sent.keys():
        return missing
    return {} if "extra_body" in extra else {"extra_body": missing}


def _top_field(llm: Any) -> int | None:
    """The number of alternatives that the user set as a field; OpenAI's default of 0 says nothing."""
    top: int | None = getattr(llm, "top_logprobs", None)
    return None if top == 0 and not (llm.logprobs and "top_logprobs" in llm.model_fields_set) else top


def _fields_sent(llm: Any) -> dict[str, Any]:
    """What OpenAI's class sends of its fields, whatever a call says (`OpenAI._get_model_kwargs`)."""
    if getattr(llm, "logprobs", None) is not True or llm.top_logprobs is None:
        return {}
    if not llm.metadata.is_chat_model:
        return {"logprobs": llm.top_logprobs}
    return {"logprobs": True, "top_logprobs": llm.top_logprobs}


def _responses(llm: Any, top: int) -> dict[str, Any] | None:
    extra = llm.additional_kwargs
    if is_reasoning_model(llm.model) and (llm.reasoning_options or {}).get("effort") != "none":
        return None
    included = extra.get("include", llm.include) or []
    asks = {} if _OF_RESPONSES in included else {"include": [*included, _OF_RESPONSES]}
    return asks if "top_logprobs" in extra else {**asks, "top_logprobs": min(top, 20)}


def _google(llm: Any, top: int) -> dict[str, Any] | None:
    config = getattr(llm, "_generation_config", None) or {}
    if config.get("response_logprobs") is False:
        return None
    wanted = {"response_logprobs": True, "logprobs": min(top, 20)}
    missing = {name: value for name, value in wanted.items() if config.get(name) is None}
    return {"generation_config": missing} if missing else {}


def _hugging_face(llm: Any, top: int) -> dict[str, Any] | None:
    # Other tasks than conversation return bare text.
    return _in_words(llm, top, most=5) if llm.task in {None, "conversational"} else None


def _llama_cpp(llm: Any, top: int) -> dict[str, Any] | None:
    # Call kwargs are not forwarded. The user must have set both generate_kwargs' logprobs and model_kwargs' logits_all.
    return {} if llm.generate_kwargs.get("logprobs") else None


_DIALECTS: dict[str, Callable[[Any, int], dict[str, Any] | None]] = {
    "OpenAI": _openai,  # with its many heirs: AzureOpenAI, OpenAILike, OpenRouter, DeepSeek, NVIDIA, Cerebras, ...
    "Fireworks": partial(_openai, most=5),
    "Groq": _never,  # heir of OpenAILike; its API answers 400
    "TogetherLLM": partial(_openai, counts=True),
    "OpenAIResponses": _responses,
    "GoogleGenAI": _google,
    "HuggingFaceInferenceAPI": _hugging_face,
    "LiteLLM": _openai,
    "LlamaCPP": _llama_cpp,
    "PlaygroundLLM": partial(_in_words, most=20),
}


# --- where the answer lands ---


def _in_raw(raw: Any) -> Any:
    """What stands at the provider's place for log-probabilities; `None` if nothing does."""
    choices = field(raw, "choices")
    if choices is not None:  # OpenAI, its legacy completions, and everyone compatible
        return field(choices[0], "logprobs") if isinstance(choices, list) and choices else None
    if isinstance(raw, dict):
        for place in ("logprobs_result", "logprobs"):  # Google's first candidate; Ollama
            if (found := raw.get(place)) is not None:
                return found
    output = field(raw, "output")  # Responses API
    return _of_output(output) if isinstance(output, list) else None


def _of_output(output: list[Any]) -> list[Any] | None:
    contents = [content for item in output if isinstance(content := field(item, "content"), list)]
    parts = [part for content in contents for block in content if (part := field(block, "logprobs"))]
    return [token for part in parts for token in part] if all(isinstance(part, list) for part in parts) else None


def _aligned(alternatives: list[list[LogProb]], text: bytes) -> list[dict[str, Any]] | None:
    """Which of each token's alternatives was sampled: the longest that goes on with the text. `None` if they spell another."""
    tokens, place = [], 0
    for candidates in alternatives:
        fitting = [one for one in candidates if text.startswith(_bytes(one), place)]
        if not fitting:
            return None
        sampled = max(fitting, key=lambda one: len(_bytes(one)))
        place += len(_bytes(sampled))
        tokens.append({"token": sampled.token, "logprob": sampled.logprob, "top_logprobs": candidates})
    return tokens if place == len(text) else None


def _bytes(one: LogProb) -> bytes:
    """The token's bytes: its text does not have them where a character is split between tokens."""
    try:
        return bytes(one.bytes) or one.token.encode()
    except ValueError:  # not bytes
        return one.token.encode()
