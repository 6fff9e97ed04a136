"""One table of recorded conversations, that both frameworks must answer alike.

A case says what each tier answers to what is asked of it, and what is to come of it. It knows no framework: `parity_runs`
plays it through the core alone, through LangChain and through LlamaIndex.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, TypeAlias

import httpx
import openai
from pydantic import BaseModel

from frugal_core.learning.cascade_routing import CascadeRouting
from frugal_core.policies import Cascade, CascadeRouter, RandomRouter, Router, Single
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.policies.hopeless import Hopeless
from frugal_core.pricing import Price
from frugal_core.scorers import (
    Agreement,
    LogprobQuantile,
    Margin,
    MeanLogprob,
    MinLogprob,
    SchemaValid,
    SelfConsistency,
    SelfVerification,
)
from frugal_core.types import Answer, Call, Message, Query
from openai_shapes import PRICES
from recorded import simulated

Kind: TypeAlias = Literal["chat", "tools", "structured", "json"]
"""Words are wanted, with tools on offer or without, or a `Verdict`: by a tool call or as JSON in OpenAI's `response_format`."""


@dataclass(frozen=True)
class Reply:
    """What a tier says to one question.

    Attributes:
        text: The answer.
        margin: By which its first token led; `None` for no log-probabilities.
        usage: Tokens read, written, and those of the read ones that were cached; `None` for no report.
        finish: Why it stopped.
        calls: Tools it wants to run: names with their arguments as JSON, malformed perhaps.
        fails: What goes wrong instead: a key of `FAILURES`.
    """

    text: str = ""
    margin: float | None = 0.9
    usage: tuple[int, int, int] | None = (4, 2, 0)
    finish: str = "stop"
    calls: tuple[tuple[str, str], ...] = ()
    fails: str | None = None


@dataclass(frozen=True)
class Tier:
    """A recorded model.

    Attributes:
        name: Its name, by which it is priced.
        says: A reply, or replies by the text of the last user turn ("*" for any other); several are given in turn.
        window: Most tokens it takes.
        tools: Whether it takes tools.
    """

    name: str
    says: Reply | tuple[Reply, ...] | Mapping[str, Reply | tuple[Reply, ...]]
    window: int | None = None
    tools: bool = True

    def replies(self, question: str) -> tuple[Reply, ...]:
        """What it says to a question, in turn."""
        says = self.says
        if isinstance(says, Mapping):
            says = says[question] if question in says else says["*"]
        return says if isinstance(says, tuple) else (says,)


@dataclass(frozen=True)
class Question:
    """What a user asks.

    Attributes:
        text: The last user turn.
        system: The system prompt.
        before: Earlier turns: role and text.
        options: Of the `cache_options` block in which it is asked.
    """

    text: str = "What is it?"
    system: str = ""
    before: tuple[tuple[Literal["user", "assistant"], str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A conversation with a wrapper.

    Attributes:
        name: What it shows.
        tiers: The models, cheapest first.
        expect: For each question, each step's tier and reason, `">"` between them; or what is raised: `"! RateLimitError"`.
        settings: The wrapper's arguments, made anew for each run since thresholds learn.
        questions: Asked one after another.
        prices: By tier.
        kind: What is wanted.
        served: The texts, tool calls or values that come back; where left out, only compared.
        clients: `"fake"`: the frameworks' fakes; `"wire"`: the frameworks' own OpenAI clients, over a recorded wire.
        warns: A part of each warning, in order.
        fails_amid_samples: Whether one of several samples fails: LangChain's batches draw them at once, all else stops there.
    """

    name: str
    tiers: tuple[Tier, ...]
    expect: tuple[str, ...]
    settings: Callable[[], dict[str, Any]] = field(default=lambda: {"threshold": 0.5})
    questions: tuple[Question, ...] = (Question(),)
    prices: Mapping[str, Any] = field(default_factory=lambda: PRICES)
    kind: Kind = "chat"
    served: tuple[Any, ...] | None = None
    clients: tuple[Literal["fake", "wire"], ...] = ("fake", "wire")
    warns: tuple[str, ...] = ()
    fails_amid_samples: bool = False

    def __str__(self) -> str:
        return self.name.replace(" ", "_")


class Verdict(BaseModel):
    """The verdict."""

    label: str
    points: int


def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


# --- failures ---


def _refused(kind: type[openai.APIStatusError], status: int, message: str, code: str | None) -> Callable[[], Exception]:
    def make() -> Exception:
        response = httpx.Response(status, request=_REQUEST)
        body = refusal_body(message, code)
        return kind(f"Error code: {status} - {body}", response=response, body=body["error"])

    return make


def refusal_body(message: str, code: str | None) -> dict[str, Any]:
    """A refusal as it comes over the wire."""
    return {"error": {"message": message, "type": "error", "code": code}}


_REQUEST = httpx.Request("POST", "http://recorded/v1/chat/completions")

REFUSALS: Mapping[str, tuple[type[openai.APIStatusError], int, str, str | None]] = {
    "rate limit": (openai.RateLimitError, 429, "Rate limit reached for requests", "rate_limit_exceeded"),
    "quota": (openai.RateLimitError, 429, "You exceeded your current quota", "insufficient_quota"),
    "server error": (openai.InternalServerError, 500, "The server had an error", None),
    "overloaded": (openai.InternalServerError, 503, "Overloaded, try again later", None),
    "context overflow": (
        *(openai.BadRequestError, 400),
        *("This model's maximum context length is 8 tokens.", "context_length_exceeded"),
    ),
    "content filter": (openai.BadRequestError, 400, "The prompt triggered the content management policy.", "content_filter"),
    "bad request": (openai.BadRequestError, 400, "Invalid value for 'temperature'", "invalid_value"),
    "wrong key": (openai.AuthenticationError, 401, "Incorrect API key provided", "invalid_api_key"),
    "no such model": (openai.NotFoundError, 404, "The model does not exist", "model_not_found"),
    "conflict": (openai.ConflictError, 409, "Conflict", None),
}
"""Refusals of a provider: class in OpenAI's SDK, HTTP status, message, code."""

FAILURES: Mapping[str, Callable[[], Exception]] = {
    **{name: _refused(*refusal) for name, refusal in REFUSALS.items()},
    "timeout": lambda: openai.APITimeoutError(request=_REQUEST),
    "lost connection": lambda: openai.APIConnectionError(request=_REQUEST),
    "bug": lambda: KeyError("a programming error"),
    "own timeout": lambda: TimeoutError("read timed out"),
}

NATURE: Mapping[str, str] = {
    "OpenAIContextOverflowError": "BadRequestError",
    "OpenAIAPIContextOverflowError": "APIError",
    "OpenAIAuthenticationError": "AuthenticationError",
    "OpenAIInvalidRequestError": "BadRequestError",
    "OpenAIModelNotFoundError": "NotFoundError",
    "OpenAIRateLimitError": "RateLimitError",
    "OpenAIAPIError": "InternalServerError",
    "OpenAIConnectionError": "APIConnectionError",
    "OpenAITimeoutError": "APITimeoutError",
}
"""A difference right by the framework's nature: LangChain's client raises subclasses of the SDK's errors, LlamaIndex's the
SDK's own."""


# --- scorers ---


def by_length(query: Query, answer: Answer) -> float | None:
    """Long answers convince; those that name no number give no signal."""
    return None if not answer.text else min(1.0, len(answer.text) / 20)


def nosy(query: Query, answer: Answer) -> float:
    """Looks at all that a scorer may look at."""
    seen = (query.text, query.system, len(query.messages), len(query.tools), answer.finish_reason, len(answer.tool_calls))
    return (len(json.dumps(seen)) % 10) / 10


def broken(query: Query, answer: Answer) -> float:
    """Is at fault."""
    raise ZeroDivisionError("no answers to divide by")


def out_of_range(query: Query, answer: Answer) -> float:
    """Is at fault otherwise."""
    return 7.0


Scoring: TypeAlias = Generator[Call, Answer, "float | None"]


def agreement(query: Query, answer: Answer) -> Scoring:
    """Asks the same again, three times."""
    drawn = yield Call(answer.tier, query, "score", n=3, temperature=1.0)
    return sum(sample.text == answer.text for sample in drawn.samples) / 3


def verification(query: Query, answer: Answer) -> Scoring:
    """Asks whether the answer is right."""
    asked = Query((Message("user", f"Is it right: {answer.text}"),), query.tiers, system="Say yes or no.")
    said = yield Call(0, asked, "score", temperature=0.0)
    return float(said.text == "yes")


def forgiving(query: Query, answer: Answer) -> Scoring:
    """Takes a failed verification for a bad sign."""
    try:
        return (yield from verification(query, answer))
    except Exception:
        return 0.1


# --- words of the table ---

SURE, UNSURE, BLIND = Reply("a sure answer"), Reply("a doubtful draft", margin=0.1), Reply("an answer unsigned", margin=None)
BEST = Reply("the best answer", usage=(5, 3, 0))
GOOD_CALL = Reply(calls=(("get_weather", '{"city": "Rome"}'),), finish="tool_calls")
BAD_CALL = Reply(calls=(("get_weather", '{"city": "Ro'),), finish="tool_calls")
WRONG_CALL = Reply(calls=(("get_weather", '{"town": 5}'),), finish="tool_calls")
GOOD_VALUE = Reply(calls=(("Verdict", '{"label": "good", "points": 3}'),), finish="tool_calls")
BAD_VALUE = Reply(calls=(("Verdict", '{"label": "bad"}'),), finish="tool_calls")
TORN_VALUE = Reply(calls=(("Verdict", '{"label": "ba'),), finish="tool_calls")
ROME = (("get_weather", {"city": "Rome"}),)
GOOD = Verdict(label="good", points=3)

LARGE = Tier("large", BEST)
NO_LOGPROBS = "without token log-probabilities"


def two(first: Reply, last: Reply = BEST) -> tuple[Tier, Tier]:
    """A cheap tier and a dear one."""
    return Tier("small", first), Tier("large", last)


def failing(kind: str, *, small: bool = True) -> tuple[Tier, Tier]:
    """Two tiers of which one fails."""
    return two(Reply(fails=kind)) if small else two(UNSURE, Reply(fails=kind))


def routed(small: float | None) -> Router:
    """A router that expects so much of the small model, and 0.5 of the large one."""
    return Router(lambda query: [small, 0.5], {"small": 0.0, "large": 0.0}, cost_weight=1.0)  # type: ignore[list-item]


@cache
def learned() -> CascadeRouter:
    """What is learned of two models whose margins tell right from wrong rather well."""
    setting = replace(simulated(400, 2), models=("small", "large"))
    path = CascadeRouting(scorer=Margin()).fit(setting)
    return path.policy(len(path.cost) // 2)


def several(*texts: str) -> tuple[Question, ...]:
    """Questions, one after another."""
    return tuple(map(Question, texts))


def settings(**values: Any) -> Callable[[], dict[str, Any]]:
    """Arguments that may be shared, since they learn nothing."""
    return lambda: dict(values)


UP, DOWN = "small unsure > large last_tier", "small confident"
LEARNED_UP = "small unsure > large routed"
NO_SIGNAL, FAILED = "small no_signal > large last_tier", "small failed > large last_tier"
BROKEN = ('"unheard of"', "[1, 2", '{"city": "Rome"} and more')
STREAM = tuple(f"question {number}" for number in range(24))
MARGINS = tuple(round((number * 7919 % 100) / 100, 2) for number in range(24))
STREAMED = Tier("small", {text: Reply(f"to {text}", margin) for text, margin in zip(STREAM, MARGINS, strict=True)})

_CASCADES = (
    Case("a sure draft is served", two(SURE), (DOWN,), served=("a sure answer",)),
    Case("an unsure draft is left behind", two(UNSURE), (UP,), served=("the best answer",)),
    Case("one model alone", (LARGE,), ("large last_tier",), served=("the best answer",)),
    Case("a margin on the threshold suffices", two(Reply("x y", margin=0.5)), (DOWN,), settings(threshold=0.5 - 1e-9)),
    Case("a threshold of nothing takes all", two(Reply("x y", margin=0.0)), (DOWN,), settings(threshold=0.0)),
    Case("no logprobs are no confidence", two(BLIND), (NO_SIGNAL,), warns=(NO_LOGPROBS,)),
    Case("no logprobs, accepted", two(BLIND), ("small no_signal",), settings(on_missing="accept"), warns=(NO_LOGPROBS,)),
    Case("no logprobs, raised", two(BLIND), ("! ScorerError",), settings(on_missing="raise", threshold=0.5)),
    Case("a warning is said once", two(BLIND), (NO_SIGNAL,) * 2, questions=several("a", "b"), warns=(NO_LOGPROBS,)),
    Case("an empty answer is left behind", two(Reply("")), ("small empty > large last_tier",)),
    Case("blanks are empty", two(Reply("  \n ")), ("small empty > large last_tier",)),
    Case("an empty last answer is served", two(UNSURE, Reply("")), (UP,), served=("",)),
    Case("a truncated answer is left behind", two(replace(SURE, finish="length")), ("small truncated > large last_tier",)),
    Case(
        "a filtered answer is left behind", two(replace(SURE, finish="content_filter")), ("small filtered > large last_tier",)
    ),
    Case("a truncated last answer is served", two(UNSURE, replace(BEST, finish="length")), (UP,), served=("the best answer",)),
    Case("an odd reason to stop is none", two(replace(SURE, finish="stop")), (DOWN,)),
    Case("accents and joined emoji", two(Reply("crème brûlée 👩‍🚀 漢字")), (DOWN,), served=("crème brûlée 👩‍🚀 漢字",)),
    Case(
        "three tiers, the middle one convinces",
        (Tier("small", UNSURE), Tier("mid", SURE), LARGE),
        ("small unsure > mid confident",),
    ),
    Case(
        "three tiers, none convinces",
        (Tier("small", UNSURE), Tier("mid", UNSURE), LARGE),
        ("small unsure > mid unsure > large last_tier",),
    ),
    Case(
        "one threshold for each escalation",
        (Tier("small", Reply("a b", 0.6)), Tier("mid", Reply("c d", 0.6)), LARGE),
        ("small unsure > mid confident",),
        settings(threshold=[0.7, 0.5]),
    ),
    Case(
        "four tiers",
        (Tier("tiny", UNSURE), Tier("small", BLIND), Tier("mid", Reply(fails="rate limit")), LARGE),
        ("tiny unsure > small no_signal > mid failed > large last_tier",),
        prices={**PRICES, "tiny": (0.1, 0.2)},
        warns=(NO_LOGPROBS,),
    ),
    Case("the reference is the first", two(UNSURE), (UP,), settings(threshold=0.5, reference=0)),
    Case("the reference was not asked", two(SURE), (DOWN,), settings(threshold=0.5, reference=1)),
    Case(
        "the reference is in the middle",
        (Tier("small", SURE), Tier("mid", SURE), LARGE),
        ("small confident",),
        settings(threshold=0.5, reference=-2),
    ),
)

_MONEY = (
    Case("no usage is estimated", two(replace(SURE, usage=None)), (DOWN,)),
    Case("no usage of either", two(replace(UNSURE, usage=None), replace(BEST, usage=None)), (UP,)),
    Case(
        "no usage of a long conversation",
        two(replace(SURE, usage=None)),
        (DOWN,),
        questions=(Question("And then?", "You are brief.", (("user", "Who are you?"), ("assistant", "A model."))),),
    ),
    Case(
        "cached tokens cost less",
        two(replace(UNSURE, usage=(100, 20, 80)), replace(BEST, usage=(100, 30, 50))),
        (UP,),
        prices={"small": Price(1.0, 2.0, cached_input=0.1), "large": Price(10.0, 20.0, cached_input=5.0)},
    ),
    Case("cached tokens without a price of their own", two(replace(SURE, usage=(100, 20, 80))), (DOWN,)),
    Case("a price for each request", two(SURE), (DOWN,), prices={"small": Price(1, 1, request=0.01), "large": (10, 10)}),
    Case(
        "no price",
        (Tier("nameless", SURE), LARGE),
        ("nameless confident",),
        warns=("No price is known for model 'nameless'",),
    ),
    Case("no price of the reference", (Tier("small", SURE), Tier("unpriced", BEST)), (DOWN,), warns=("No price is known",)),
    Case("an answer of no tokens", two(UNSURE, replace(BEST, usage=(4, 0, 0))), (UP,)),
    Case("a price of nothing", two(SURE), (DOWN,), prices={"small": (0, 0), "large": (10, 10)}),
    Case("the dear one first", (Tier("large", SURE), Tier("small", BEST)), ("large confident",), warns=("the dearer one",)),
)

_FAILURES = (
    *(
        Case(f"a {kind} is escalated", failing(kind), (FAILED,), served=("the best answer",))
        for kind in ("rate limit", "quota", "server error", "overloaded", "context overflow", "content filter", "conflict")
    ),
    Case("a timeout is escalated", failing("timeout"), (FAILED,)),
    Case("a lost connection is escalated", failing("lost connection"), (FAILED,)),
    Case("Python's own timeout is escalated", failing("own timeout"), (FAILED,), clients=("fake",)),
    Case("a bad request rises", failing("bad request"), ("! BadRequestError",)),
    Case("a wrong key rises", failing("wrong key"), ("! AuthenticationError",)),
    Case("a missing model rises", failing("no such model"), ("! NotFoundError",)),
    Case("a programming error rises", failing("bug"), ("! KeyError",), clients=("fake",)),
    Case("the last one's rate limit rises", failing("rate limit", small=False), ("! RateLimitError",)),
    Case("the last one's timeout rises", failing("timeout", small=False), ("! APITimeoutError",)),
    Case("the last one's overflow rises", failing("context overflow", small=False), ("! BadRequestError",)),
    Case("both fail", two(Reply(fails="rate limit"), Reply(fails="timeout")), ("! APITimeoutError",)),
    Case("classes to escalate on", failing("bad request"), (FAILED,), settings(escalate_on=openai.BadRequestError)),
    Case("other classes to escalate on", failing("rate limit"), ("! RateLimitError",), settings(escalate_on=[KeyError])),
    Case("a list of classes", failing("bug"), (FAILED,), settings(escalate_on=[ValueError, LookupError]), clients=("fake",)),
    Case("a predicate to escalate on", failing("wrong key"), (FAILED,), settings(escalate_on=lambda e: "API key" in str(e))),
    Case("escalate on nothing", failing("timeout"), ("! APITimeoutError",), settings(escalate_on=[])),
    Case(
        "it fails once and then answers",
        (Tier("small", (Reply(fails="rate limit"), SURE)), LARGE),
        (FAILED, DOWN),
        questions=several("a", "a"),
    ),
    Case(
        "a failure on a middle tier",
        (Tier("small", UNSURE), Tier("mid", Reply(fails="server error")), LARGE),
        ("small unsure > mid failed > large last_tier",),
    ),
    Case(
        "an error rises and the next question is answered",
        (Tier("small", {"a": Reply(fails="wrong key"), "b": SURE}), LARGE),
        ("! AuthenticationError", DOWN),
        questions=several("a", "b"),
    ),
)

_LONG = Question("word " * 60)
_SKIPPED = (
    Case(
        "too long for the first",
        (Tier("small", SURE, window=40), LARGE),
        ("small too_long > large last_tier",),
        questions=(_LONG,),
    ),
    Case("short enough", (Tier("small", SURE, window=40), LARGE), (DOWN,)),
    Case(
        "too long by its system prompt",
        (Tier("small", SURE, window=40), LARGE),
        ("small too_long > large last_tier",),
        questions=(Question(system="word " * 60),),
    ),
    Case(
        "too long by its history",
        (Tier("small", SURE, window=40), LARGE),
        ("small too_long > large last_tier",),
        questions=(Question(before=(("user", "word " * 30), ("assistant", "word " * 30))),),
    ),
    Case(
        "too long for all but the middle one",
        (Tier("small", SURE, window=40), Tier("mid", SURE, window=4000), Tier("large", BEST, window=40)),
        ("small too_long > mid last_tier > large too_long",),
        questions=(_LONG,),
    ),
    Case(
        "too long for all: the last one's error says it best",
        (Tier("small", SURE, window=40), Tier("large", Reply(fails="context overflow"), window=40)),
        ("! BadRequestError",),
        questions=(_LONG,),
    ),
    Case(
        "no tools on the first",
        (Tier("small", SURE, tools=False), Tier("large", GOOD_CALL)),
        ("small no_tools > large last_tier",),
        kind="tools",
        served=(ROME,),
    ),
    Case(
        "no tools on the last",
        (Tier("small", GOOD_CALL), Tier("mid", GOOD_CALL), Tier("large", BEST, tools=False)),
        ("small unsure > mid last_tier > large no_tools",),
        settings(scorer=lambda query, answer: 0.1, threshold=0.5),
        kind="tools",
        served=(ROME,),
    ),
    Case(
        "too long with the tools",
        (Tier("small", GOOD_CALL, window=16), Tier("large", GOOD_CALL)),
        ("small too_long > large last_tier",),
        kind="tools",
    ),
)

_TOOLS = (
    Case("text though tools are on offer", two(SURE), (DOWN,), kind="tools", served=("a sure answer",)),
    Case("an unsure text though tools are on offer", two(UNSURE, GOOD_CALL), (UP,), kind="tools", served=(ROME,)),
    Case(
        "a good tool call", two(GOOD_CALL), (DOWN,), settings(scorer=SchemaValid(), threshold=0.5), kind="tools", served=(ROME,)
    ),
    Case("a torn tool call", two(BAD_CALL, GOOD_CALL), (UP,), settings(scorer=SchemaValid(), threshold=0.5), kind="tools"),
    Case("a wrong tool call", two(WRONG_CALL, GOOD_CALL), (UP,), settings(scorer=SchemaValid(), threshold=0.5), kind="tools"),
    *(
        Case(
            f"a malformed tool call: {args}",
            two(Reply(calls=(("get_weather", args),)), GOOD_CALL),
            (UP,),
            settings(scorer=SchemaValid(), threshold=0.5),
            kind="tools",
            served=(ROME,),
            clients=("fake",) if args == BROKEN[0] else ("fake", "wire"),  # ChatOpenAI itself fails on arguments that are text
        )
        for args in BROKEN
    ),
    Case(
        "a call of an unknown tool",
        two(Reply(calls=(("get_time", "{}"),)), GOOD_CALL),
        (UP,),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="tools",
    ),
    Case(
        "two tool calls",
        two(Reply(calls=(("get_weather", '{"city": "Rome"}'), ("get_weather", '{"city": "Oslo"}')))),
        (DOWN,),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="tools",
        served=((*ROME, ("get_weather", {"city": "Oslo"})),),
    ),
    Case(
        "one good call and one torn",
        two(Reply(calls=(("get_weather", '{"city": "Rome"}'), ("get_weather", '{"city": "Os'))), GOOD_CALL),
        (UP,),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="tools",
    ),
    Case(
        "words before a tool call",
        two(Reply("Let me see.", calls=GOOD_CALL.calls)),
        (DOWN,),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="tools",
    ),
    Case(
        "a tool call with margin or form",
        two(GOOD_CALL),
        (DOWN,),
        settings(scorer=Margin().or_else(SchemaValid()), threshold=0.5),
        kind="tools",
    ),
    Case("tools, and the first fails", two(Reply(fails="rate limit"), GOOD_CALL), (FAILED,), kind="tools", served=(ROME,)),
    Case("tools, and the last fails", two(UNSURE, Reply(fails="quota")), ("! RateLimitError",), kind="tools"),
    Case(
        "tools, and a scorer that asks again",
        (Tier("small", (GOOD_CALL, GOOD_CALL, GOOD_CALL, UNSURE)), LARGE),
        ("small sample > small confident",),
        settings(scorer=agreement, threshold=0.5),
        kind="tools",
    ),
    Case(
        "tools, and a scorer that asks something else",
        (Tier("small", {"What is it?": SURE, "*": Reply("yes")}), LARGE),
        ("small sample > small confident",),
        settings(scorer=verification, threshold=0.5),
        kind="tools",
    ),
)

_STRUCTURED = (
    Case("a value", two(GOOD_VALUE), (DOWN,), settings(scorer=SchemaValid(), threshold=0.5), kind="structured", served=(GOOD,)),
    Case(
        "a value that lacks a field",
        two(BAD_VALUE, GOOD_VALUE),
        ("small invalid > large last_tier",),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case(
        "a torn value",
        two(TORN_VALUE, GOOD_VALUE),
        ("small invalid > large last_tier",),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case(
        "words instead of a value",
        two(SURE, GOOD_VALUE),
        ("small invalid > large last_tier",),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case(
        "a truncated value",
        two(replace(GOOD_VALUE, finish="length"), GOOD_VALUE),
        ("small truncated > large last_tier",),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case(
        "a value, and the first fails",
        two(Reply(fails="timeout"), GOOD_VALUE),
        (FAILED,),
        kind="structured",
        served=(GOOD,),
    ),
    Case("a value, and the last fails", two(BAD_VALUE, Reply(fails="rate limit")), ("! RateLimitError",), kind="structured"),
    Case("a value, and a bug", two(Reply(fails="bug"), GOOD_VALUE), ("! KeyError",), kind="structured", clients=("fake",)),
    Case(
        "a value judged by a function",
        two(GOOD_VALUE, replace(GOOD_VALUE, usage=(9, 9, 3))),
        (UP,),
        settings(scorer=lambda query, answer: 0.2 if answer.parsed.label == "good" else 0.9, threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case(
        "a value, and three tiers",
        (Tier("small", BAD_VALUE), Tier("mid", TORN_VALUE), Tier("large", GOOD_VALUE)),
        ("small invalid > mid invalid > large last_tier",),
        settings(scorer=SchemaValid(), threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case(
        "a value by margin and form",
        two(GOOD_VALUE, GOOD_VALUE),
        (DOWN,),
        settings(scorer=Margin() & SchemaValid(), threshold=0.5),
        kind="structured",
        clients=("fake",),  # OpenAI gives tool calls no log-probabilities
    ),
    Case(
        "a value, and a scorer that asks something else",
        (Tier("small", {"What is it?": GOOD_VALUE, "*": Reply("yes")}), Tier("large", GOOD_VALUE)),
        ("small sample > small confident",),
        settings(scorer=verification, threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case(
        "a value, and a scorer that asks again",
        (Tier("small", (GOOD_VALUE, GOOD_VALUE, BAD_VALUE, GOOD_VALUE)), Tier("large", GOOD_VALUE)),
        ("small sample > small confident",),
        settings(scorer=agreement, threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
)

_MINI, _FULL = (lambda reply: Tier("gpt-4o-mini", reply)), (lambda reply: Tier("gpt-4o", reply))
_WORDS = Reply('{"label":"good","points":3}', usage=(100, 20, 40))


def _json(name: str, first: Reply, last: Reply, expect: str, **more: Any) -> Case:
    """A value as JSON, from models that OpenAI's clients know to give it; the prices are the packaged ones."""
    tiers = (_MINI(first), _FULL(last))
    return Case(name, tiers, (expect,), kind="json", prices={}, clients=("wire",), **more)


_JSON = (
    _json("JSON, and a sure value", _WORDS, _WORDS, "gpt-4o-mini confident", served=(GOOD,)),
    _json("JSON, and an unsure value", replace(_WORDS, margin=0.1), _WORDS, "gpt-4o-mini unsure > gpt-4o last_tier"),
    _json("JSON that lacks a field", Reply('{"label": "x"}'), _WORDS, "gpt-4o-mini invalid > gpt-4o last_tier", served=(GOOD,)),
    _json("JSON that is torn", Reply('{"label": "x'), _WORDS, "gpt-4o-mini invalid > gpt-4o last_tier", served=(GOOD,)),
    _json("JSON, truncated", Reply('{"label": "x', finish="length"), _WORDS, "gpt-4o-mini truncated > gpt-4o last_tier"),
    _json("JSON, filtered", Reply('{"label"', finish="content_filter"), _WORDS, "gpt-4o-mini filtered > gpt-4o last_tier"),
    _json("JSON, and the first fails", Reply(fails="quota"), _WORDS, "gpt-4o-mini failed > gpt-4o last_tier", served=(GOOD,)),
)

_POLICIES = (
    Case("Single, the last", two(SURE), ("large routed",), lambda: {"policy": Single()}, served=("the best answer",)),
    Case("Single, the first", two(BLIND), ("small routed",), lambda: {"policy": Single(0)}, served=("an answer unsigned",)),
    Case("Single, and it fails", failing("rate limit"), ("! RateLimitError",), lambda: {"policy": Single(0)}),
    Case("Single, and it asks tools", two(GOOD_CALL), ("small routed",), lambda: {"policy": Single(0)}, kind="tools"),
    Case("Single, structured", two(GOOD_VALUE), ("small routed",), lambda: {"policy": Single(0)}, kind="structured"),
    Case(
        "RandomRouter",
        two(SURE),
        tuple("large routed" if large else "small routed" for large in (1, 0, 1, 0, 0, 1)),
        lambda: {"policy": RandomRouter(0.5, seed=3)},
        several(*STREAM[:6]),
    ),
    Case("a cascade as policy", two(UNSURE), (UP,), lambda: {"policy": Cascade(Margin(), 0.5)}),
    Case(
        "a cascade of named models",
        two(SURE, UNSURE),
        ("large unsure > small last_tier",),
        lambda: {"policy": Cascade(Margin(), 0.5, models=["large", "small"])},
    ),
    Case("a router, to the cheap one", two(SURE), ("small routed",), lambda: {"policy": routed(0.9)}),
    Case("a router, to the dear one", two(SURE), ("large routed",), lambda: {"policy": routed(0.1)}),
    Case(
        "a router, and its choice fails",
        failing("rate limit"),
        ("small failed > large routed",),
        lambda: {"policy": routed(0.9)},
    ),
    Case(
        "a router that fails",
        two(SURE),
        ("large no_signal",),
        lambda: {"policy": routed(None)},
        warns=("it must give 2 numbers from 0 to 1",),
    ),
    Case("a learned cascade router, sure", two(SURE), (DOWN,), lambda: {"policy": learned()}),
    Case("a learned cascade router, unsure", two(UNSURE), (LEARNED_UP,), lambda: {"policy": learned()}),
    Case(
        "a learned cascade router, without a signal",
        two(BLIND),
        ("small no_signal > large routed",),
        lambda: {"policy": learned()},
        warns=(NO_LOGPROBS,),
    ),
    Case(
        "a learned cascade router, and the first fails",
        failing("rate limit"),
        ("small failed > large routed",),
        lambda: {"policy": learned()},
    ),
    Case(
        "a learned cascade router, and a draft is cut off",
        two(replace(SURE, finish="length")),
        ("small truncated > large routed",),
        lambda: {"policy": learned()},
    ),
    Case("several answer tokens", two(SURE), (DOWN,), settings(scorer=Margin(tokens=1), threshold=0.5)),
    Case("classes", two(Reply("Yes indeed")), (DOWN,), settings(scorer=Margin(classes=["Yes", "§"]), threshold=0.5)),
    Case("the mean of all tokens", two(SURE), (DOWN,), settings(scorer=MeanLogprob(), threshold=0.9)),
    Case("the least of all tokens", two(UNSURE), (UP,), settings(scorer=MinLogprob(), threshold=0.9)),
    Case("a quantile of all tokens", two(SURE), (DOWN,), settings(scorer=LogprobQuantile(0.5), threshold=0.9)),
    Case(
        "margin, else form, of free text",
        two(BLIND),
        (NO_SIGNAL,),
        settings(scorer=Margin().or_else(SchemaValid()), threshold=0.5),
        warns=(NO_LOGPROBS,),
    ),
    Case("margin and form, of free text", two(SURE), (DOWN,), settings(scorer=Margin() & SchemaValid(), threshold=0.5)),
    Case("margin and length", two(SURE), (UP,), settings(scorer=Margin() & by_length, threshold=0.7)),
    Case("margin or length", two(SURE), (DOWN,), settings(scorer=Margin() | by_length, threshold=0.7)),
    Case("a function", two(BLIND), (DOWN,), settings(scorer=by_length, threshold=0.5)),
    Case("a nosy function", two(BLIND), (UP,), settings(scorer=nosy, threshold=1.0)),
    Case("a scorer that abstains", two(SURE), (NO_SIGNAL,), settings(scorer=lambda query, answer: None, threshold=0.5)),
    Case("a broken scorer", two(SURE), (NO_SIGNAL,), settings(scorer=broken, threshold=0.5), warns=("ZeroDivisionError",)),
    Case(
        "a broken scorer, raised",
        two(SURE),
        ("! ScorerError",),
        settings(scorer=broken, threshold=0.5, on_missing="raise"),
    ),
    Case("a score out of range", two(SURE), (NO_SIGNAL,), settings(scorer=out_of_range, threshold=0.5), warns=("7.0",)),
    Case(
        "a scorer that asks again, agreed",
        (Tier("small", (SURE, SURE, UNSURE, SURE)), LARGE),
        ("small sample > small confident",),
        settings(scorer=agreement, threshold=0.6),
    ),
    Case(
        "a scorer that asks again, not agreed",
        (Tier("small", (SURE, UNSURE, UNSURE, SURE)), LARGE),
        ("small sample > small unsure > large last_tier",),
        settings(scorer=agreement, threshold=0.6),
    ),
    Case(
        "a scorer that asks again, and fails at it",
        (Tier("small", (SURE, SURE, Reply(fails="rate limit"), SURE)), LARGE),
        ("small failed > small no_signal > large last_tier",),
        settings(scorer=agreement, threshold=0.6),
        warns=("The scorer agreement raised RateLimitError",),
        fails_amid_samples=True,
    ),
    Case(
        "a scorer that asks something else: yes",
        (Tier("small", {"What is it?": SURE, "*": Reply("yes")}), LARGE),
        ("small sample > small confident",),
        settings(scorer=verification, threshold=0.5),
    ),
    Case(
        "a scorer that asks something else: no",
        (Tier("small", {"What is it?": SURE, "*": Reply("no", usage=(20, 1, 0))}), LARGE),
        ("small sample > small unsure > large last_tier",),
        settings(scorer=verification, threshold=0.5),
    ),
    Case(
        "a scorer that asks something else, and no usage",
        (Tier("small", {"*": Reply("yes", usage=None), "What is it?": SURE}), LARGE),
        ("small sample > small confident",),
        settings(scorer=verification, threshold=0.5),
        questions=(Question(system="A long system prompt that the verification never sees, and so never pays for."),),
    ),
    Case(
        "a scorer that forgives a failure",
        (Tier("small", {"What is it?": SURE, "*": Reply(fails="timeout")}), LARGE),
        ("small failed > small unsure > large last_tier",),
        settings(scorer=forgiving, threshold=0.5),
    ),
    Case(
        "margin, and a scorer that asks",
        (Tier("small", {"a": UNSURE, "b": SURE, "*": Reply("yes")}), LARGE),
        ("small sample > small unsure > large last_tier", "small sample > small confident"),
        settings(scorer=Margin() & verification, threshold=0.5),
        several("a", "b"),
    ),
)

_ASKING = (
    Case(
        "self-consistency, consistent",
        (Tier("small", (SURE, SURE, UNSURE, Reply("A sure answer."))), LARGE),
        ("small sample > small sample > small sample > small confident",),
        settings(scorer=SelfConsistency(3), threshold=0.6),
        served=("a sure answer",),
    ),
    Case(
        "self-consistency, not consistent",
        (Tier("small", (SURE, replace(UNSURE, usage=(7, 5, 0)), SURE, UNSURE)), LARGE),
        ("small sample > small sample > small sample > small unsure > large last_tier",),
        settings(scorer=SelfConsistency(3, None), threshold=0.6),
    ),
    Case(
        "self-consistency, and a sample fails",
        (Tier("small", (SURE, SURE, Reply(fails="rate limit"), SURE)), LARGE),
        ("small sample > small failed > small sample > small confident",),
        settings(scorer=SelfConsistency(3), threshold=0.6),
    ),
    Case(
        "self-consistency, and the first sample fails",
        (Tier("small", (SURE, Reply(fails="bad request"), SURE, SURE)), LARGE),
        ("small failed > small no_signal > large last_tier",),
        settings(scorer=SelfConsistency(3), threshold=0.6),
        warns=("raised BadRequestError",),
    ),
    Case(
        "self-consistency of tool calls",
        (Tier("small", (GOOD_CALL, GOOD_CALL, BAD_CALL, GOOD_CALL)), LARGE),
        ("small sample > small sample > small sample > small confident",),
        settings(scorer=SelfConsistency(3), threshold=0.6),
        kind="tools",
        served=(ROME,),
    ),
    Case(
        "self-consistency of values",
        (Tier("small", (GOOD_VALUE, GOOD_VALUE, BAD_VALUE)), Tier("large", GOOD_VALUE)),
        ("small sample > small sample > small confident",),
        settings(scorer=SelfConsistency(2), threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case(
        "self-verification, by log-probabilities",
        (Tier("small", {"a": SURE, "b": SURE, "*": Reply("yes", margin=0.2)}), LARGE),
        ("small sample > small confident",) * 2,
        settings(scorer=SelfVerification(), threshold=0.55),
        several("a", "b"),
    ),
    Case(
        "self-verification, unsure by log-probabilities",
        (Tier("small", {"a": SURE, "*": Reply("yes", margin=0.2)}), LARGE),
        ("small sample > small unsure > large last_tier",),
        settings(scorer=SelfVerification(), threshold=0.65),
        several("a"),
    ),
    Case(
        "self-verification, by its word",
        (Tier("small", {"a": SURE, "*": Reply("No.", margin=None)}), LARGE),
        ("small sample > small unsure > large last_tier",),
        settings(scorer=SelfVerification(), threshold=0.65),
        several("a"),
    ),
    Case(
        "self-verification, by checks",
        (Tier("small", {"a": BLIND, "*": (Reply("Yes"), Reply("no"), Reply("Yes, it is", margin=None))}), LARGE),
        ("small sample > small sample > small sample > small confident",),
        settings(scorer=SelfVerification(k=3, logprobs=False), threshold=0.65),
        several("a"),
    ),
    Case(
        "self-verification of a conversation with tools",
        (Tier("small", {"a": GOOD_CALL, "*": Reply("yes")}), LARGE),
        ("small sample > small confident",),
        settings(scorer=SelfVerification(), threshold=0.65),
        (Question("a", "You are brief.", (("user", "Who are you?"), ("assistant", "A model."))),),
        kind="tools",
    ),
    Case(
        "self-verification of a value",
        (Tier("small", {"a": GOOD_VALUE, "*": Reply("yes")}), Tier("large", GOOD_VALUE)),
        ("small sample > small confident",),
        settings(scorer=SelfVerification(), threshold=0.65),
        several("a"),
        kind="structured",
    ),
    Case(
        "agreement of tiers",
        (Tier("small", BLIND), Tier("mid", Reply("An answer, unsigned.")), Tier("dear", BLIND), LARGE),
        ("small no_signal > mid unsure > dear confident",),
        settings(scorer=Agreement(), threshold=0.5),
        prices={**PRICES, "dear": (5.0, 5.0)},
    ),
    Case(
        "margin or agreement of tiers",
        (Tier("small", UNSURE), Tier("mid", UNSURE), LARGE),
        ("small unsure > mid confident",),
        settings(scorer=Margin() | Agreement(), threshold=0.5),
    ),
    Case(
        "agreement of values",
        (Tier("small", GOOD_VALUE), Tier("mid", GOOD_VALUE), Tier("large", GOOD_VALUE)),
        ("small no_signal > mid confident",),
        settings(scorer=Agreement(), threshold=0.5),
        kind="structured",
        served=(GOOD,),
    ),
    Case("a hopeless draft", two(UNSURE), ("small hopeless",), settings(threshold=Hopeless(0.5, below=0.2))),
)

_LEARNING = (
    Case(
        "a share of the queries, over many",
        (STREAMED, LARGE),
        (),
        lambda: {"call_large": 0.3},
        several(*STREAM),
    ),
    Case("the default", (STREAMED, LARGE), (), dict, several(*STREAM[:16])),
    Case("a share of nothing", (STREAMED, LARGE), (), lambda: {"call_large": 0.0}, several(*STREAM[:12])),
    Case("a share of all", (STREAMED, LARGE), (), lambda: {"call_large": 1.0}, several(*STREAM[:12])),
    Case(
        "a share, of three tiers",
        (
            STREAMED,
            Tier("mid", {text: Reply("mid says", margin) for text, margin in zip(STREAM, MARGINS[::-1], strict=True)}),
            LARGE,
        ),
        (),
        lambda: {"call_large": 0.2},
        several(*STREAM),
    ),
    Case("a budget in money", (STREAMED, LARGE), (), lambda: {"budget_usd": 3e-5}, several(*STREAM)),
    Case("a tight budget in money", (STREAMED, LARGE), (), lambda: {"budget_usd": 1e-5}, several(*STREAM)),
    Case(
        "a hard budget",
        (STREAMED, LARGE),
        (),
        lambda: {"threshold": BudgetedThreshold(0.25, queries=12, warm_up=2)},
        several(*STREAM[:12]),
    ),
    Case(
        "a hard budget in money, and nothing usable",
        two(replace(SURE, finish="length")),
        (),
        lambda: {"threshold": BudgetedThreshold(usd=2e-5, queries=8)},
        several(*STREAM[:8]),
    ),
    Case(
        "a budget that pays for its scorer",
        (Tier("small", {**STREAMED.says, "*": Reply("yes", usage=(30, 1, 0))}), LARGE),  # type: ignore[dict-item]
        (),
        lambda: {"budget_usd": 8e-5, "scorer": Margin() & verification},
        several(*STREAM[:12]),
    ),
    Case(
        "a share, with failures and missing signals",
        (
            Tier("small", {**STREAMED.says, STREAM[3]: Reply(fails="timeout"), STREAM[5]: BLIND, STREAM[7]: Reply("")}),  # type: ignore[dict-item]
            Tier("large", {"*": BEST, STREAM[3]: Reply(fails="quota")}),
        ),
        (),
        lambda: {"call_large": 0.4},
        several(*STREAM),
        warns=(NO_LOGPROBS,),
    ),
    Case(
        "a budget in money, and no usage",
        (Tier("small", {text: Reply(text, 0.4, usage=None) for text in STREAM[:8]}), LARGE),
        (),
        lambda: {"budget_usd": 4e-5},
        several(*STREAM[:8]),
    ),
)

CASES: tuple[Case, ...] = (
    *_CASCADES,
    *_MONEY,
    *_FAILURES,
    *_SKIPPED,
    *_TOOLS,
    *_STRUCTURED,
    *_JSON,
    *_POLICIES,
    *_ASKING,
    *(replace(case, clients=("fake",)) for case in _LEARNING),  # a wire adds nothing to a long sequence of queries
)
assert len({case.name for case in CASES}) == len(CASES)
