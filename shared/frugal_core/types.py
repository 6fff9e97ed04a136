"""The neutral vocabulary that policies, scorers and both framework plugins share.

Everything here is frozen: a query, an answer or a call can be shared between threads and kept in a trace without fear.
Sequences that are costly to build (a long chat history, the log-probabilities of a long answer) may be handed over as lazy
sequences; nobody pays for what no policy reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from frugal_core.pricing import Price

Role = Literal["system", "user", "assistant", "tool"]
Purpose = Literal["answer", "score"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to run a tool.

    Attributes:
        name: Name of the tool.
        args: Parsed arguments.
        id: The provider's identifier of this call, if it gave one.
        error: Why the arguments could not be parsed, `None` when they could. `args` is then empty.
    """

    name: str
    args: Mapping[str, Any]
    id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: Who speaks.
        text: The turn's text, all text blocks concatenated.
        tool_calls: Tool calls of an assistant turn.
        has_media: Whether the turn also carries images, audio or files (they are not represented here).
    """

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    has_media: bool = False


@dataclass(frozen=True, slots=True)
class Tier:
    """What a policy may know about a model at its place in the order.

    Attributes:
        name: Unique name of the tier within its wrapper, used in decisions and reports.
        model: The provider's model name, used for prices and tokenizers.
        price: USD per million tokens; `None` means unknown, never free.
        context_window: Most input tokens the model takes; `None` when unknown.
        supports_tools: `False` when the model is known to take no tools.
        supports_schema: `False` when the model is known to give no structured output.
    """

    name: str
    model: str | None = None
    price: Price | None = None
    context_window: int | None = None
    supports_tools: bool = True
    supports_schema: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """What the user asks, and of whom it may be asked.

    Attributes:
        messages: The conversation, oldest first. The system prompt is *not* repeated here.
        tiers: The models that may be asked, cheapest first.
        reference: Index in `tiers` of the model whose answers are the standard.
        system: The system prompt, empty when there is none.
        tools: Tools on offer, as JSON-schema function definitions (`{"name", "description", "parameters"}`).
        response_format: JSON schema the answer must satisfy, `None` for free text.
        prompt_tokens: Number of input tokens where it is already known, else `None`.
        metadata: Anything a custom policy or scorer wants to know (tenant, task, ...).
    """

    messages: Sequence[Message]
    tiers: tuple[Tier, ...]
    reference: int = -1
    system: str = ""
    tools: Sequence[Mapping[str, Any]] = ()
    response_format: Mapping[str, Any] | None = None
    prompt_tokens: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def text(self) -> str:
        """Text of the last user turn, `""` when there is none."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call.

    Attributes:
        input_tokens: Tokens read, cached ones included.
        output_tokens: Tokens written, hidden reasoning included.
        cached_input_tokens: Those of `input_tokens` that the provider read from its prompt cache.
        estimated: Whether the numbers were counted here rather than reported by the provider.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of one generated token, with the alternatives the provider reported.

    Attributes:
        token: The token's text.
        logprob: Natural logarithm of its probability, `<= 0`.
        top: `(token, logprob)` of the most likely tokens at this place, best first; may or may not contain `token`.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tier returned.

    Attributes:
        text: The answer's text.
        tool_calls: Tools the model wants to run.
        logprobs: Log-probabilities of the generated tokens in order; empty when the provider gave none.
        usage: Tokens of the call; `None` when unknown.
        cost_usd: Price of the call in USD; `None` when the model's price is unknown.
        latency_s: Seconds the call took.
        finish_reason: The provider's word for why it stopped, normalised to `"stop"`, `"length"`, `"tool_calls"` or
            `"content_filter"` where it means one of these.
        parsed: The structured answer where one was asked for and could be parsed.
        parsing_error: Why a structured answer could not be parsed.
        samples: The answers when several were asked for (`Call.n > 1`), this one included.
        tier: Index of the model that answered, in `query.tiers`.
        raw: The framework's own response object.
        earlier: In the hands of a scorer: the usable answers of the tiers asked before this one.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: Sequence[TokenLogprob] = ()
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    finish_reason: str | None = None
    parsed: Any = None
    parsing_error: str | None = None
    samples: tuple[Answer, ...] = ()
    tier: int = 0
    raw: Any = field(default=None, repr=False, compare=False)
    earlier: tuple[Answer, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that a policy yields to its driver.

    Attributes:
        tier: Index of the model in `query.tiers`.
        query: What to ask.
        purpose: `"answer"` when the reply may be served, `"score"` when it only helps to decide.
        n: How many samples to draw. When one fails the call fails, and what the others cost is unknown: to have each charged
            by itself, yield calls of one sample, as `frugal_core.scorers.sampling.draw` does.
        temperature: Sampling temperature; `None` leaves the model's own.
        final: Nothing further is decided on this answer, so a streaming adapter may pass it through live.
    """

    tier: int
    query: Query
    purpose: Purpose = "answer"
    n: int = 1
    temperature: float | None = None
    final: bool = False


def samples(answers: Sequence[Answer]) -> Answer:
    """Several answers to one call as one: the first, with all of them in `samples` and what they cost together."""
    costs = [answer.cost_usd for answer in answers]
    usages = [answer.usage for answer in answers if answer.usage is not None]
    return replace(
        answers[0],
        samples=tuple(answers),
        usage=sum(usages[1:], usages[0]) if usages else None,
        cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
    )
