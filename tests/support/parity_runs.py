"""Plays the cases of `parity_cases` through the core alone, through LangChain and through LlamaIndex.

Three clients of one tape: the core's is a few lines and the judge of both; the frameworks' are their fakes, or their own OpenAI
clients over a recorded wire.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike
from pydantic import SecretStr, ValidationError

import lc
import li
from frugal_core.arguments import price_book, reference_index
from frugal_core.cache import Answered, SemanticCache, cache_options, question_of
from frugal_core.cache.storable import objection_to
from frugal_core.decision import Decision
from frugal_core.engine import drive
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Policy
from frugal_core.policies.settings import policy_from
from frugal_core.provider_logprobs import parse_logprobs
from frugal_core.saving import encode
from frugal_core.tiers import describe
from frugal_core.tokens import estimated
from frugal_core.types import Answer, Call, Message, Query, ToolCall, Usage, samples
from langchain_frugal import ChatFrugal
from llamaindex_frugal import FrugalDecisionEvent, FrugalLLM
from openai_shapes import logprobs
from parity_cases import FAILURES, NATURE, REFUSALS, Case, Kind, Question, Reply, Tier, Verdict, get_weather, refusal_body

LANGCHAIN = lc.HOWS
LLAMAINDEX: Mapping[Kind, tuple[str, ...]] = {
    "chat": li.HOWS,
    "tools": ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools"),
    **dict.fromkeys(
        ("structured", "json"),
        ("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"),
    ),
}


@dataclass(frozen=True)
class Asked:
    """What a tier was asked.

    Attributes:
        text: The last user turn.
        system: The system prompt.
        turns: Number of all other turns.
        tools: Names of the tools on offer.
        temperature: As the call said, not the model.
        logprobs: Whether log-probabilities were asked for, and how many alternatives; `None` where nobody can tell.
    """

    text: str
    system: str
    turns: int
    tools: tuple[str, ...]
    temperature: float | None
    logprobs: int | None = None


class Tape:
    """Plays a tier's replies, and keeps what it was asked."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.asked: list[Asked] = []
        self._turns: Counter[str] = Counter()

    def play(self, asked: Asked) -> Reply:
        """The next reply to this question."""
        self.asked.append(asked)
        replies = self.tier.replies(asked.text)
        self._turns[asked.text] += 1
        return replies[(self._turns[asked.text] - 1) % len(replies)]


@dataclass
class Outcome:
    """What came of one question.

    Attributes:
        decision: The trace, without what differs by nature (latencies, the words of a parser).
        served: Text, tool calls, or the value.
        error: Class and message of what was raised.
        streamed: The text of a stream's pieces together; as `served` where nothing is streamed.
    """

    decision: dict[str, Any] | None = None
    served: Any = None
    error: tuple[str, str] | None = None
    streamed: Any = None


@dataclass
class Played:
    """What came of a case.

    Attributes:
        outcomes: Of each question.
        asked: What each tier was asked, in order.
        seen: What the policy was given: queries, answers and errors.
        warned: The warnings.
        counted: What the cache counted, where the case has one.
    """

    outcomes: list[Outcome]
    asked: dict[str, list[Asked]]
    seen: list[Any]
    warned: list[str] = field(default_factory=list)
    counted: Mapping[str, Any] | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """As `Case.expect` writes them."""
        return tuple(map(_steps, self.outcomes))


def differences(case: Case, judge: Played, played: Played, client: str, how: str) -> list[str]:
    """In what a framework's play of a case differs from the core's."""
    found = []
    for number, (mine, core) in enumerate(zip(played.outcomes, judge.outcomes, strict=True)):
        for name, value in _told(mine, case).items():
            other = _told(core, case)[name]
            if value != other:
                found.append(f"question {number}: {name}: {value!r}, the core: {other!r}")
        if mine.decision and core.decision and mine.decision["steps"] != core.decision["steps"]:
            for step, right in zip(mine.decision["steps"], core.decision["steps"], strict=False):
                found += [
                    f"question {number}: {name}: {step[name]!r}, not {right[name]!r}"
                    for name in step
                    if step[name] != right[name]
                ]
    for tier, asked in played.asked.items():
        judged = judge.asked[tier]
        if client == "fake":  # which no provider asks for log-probabilities
            judged = [replace(one, logprobs=None) for one in judged]
        found += [
            f"{tier} was asked {one}, by the core {other}" for one, other in zip(asked, judged, strict=False) if one != other
        ]
        eager = case.fails_amid_samples and "batch" in how  # which asks for all samples at once
        if len(asked) != len(judged) and not eager:
            found.append(f"{tier} was asked {len(asked)} times, by the core {len(judged)} times")
    found += [
        f"the policy saw {one}, of the core {other}"
        for one, other in zip(played.seen, judge.seen, strict=False)
        if one != other
    ]
    if len(played.seen) != len(judge.seen):
        found.append(f"the policy saw {len(played.seen)} things, of the core {len(judge.seen)}")
    if played.counted != judge.counted:
        found.append(f"the cache counted {played.counted}, of the core {judge.counted}")
    if len(played.warned) != len(case.warns) or not all(map(str.__contains__, played.warned, case.warns)):
        found.append(f"warned {played.warned}, not {case.warns}")
    return found


def _told(outcome: Outcome, case: Case) -> dict[str, Any]:
    told = dict(vars(outcome))
    decision = told.pop("decision") or {}
    try:
        encode(policy_from(case.settings()))
    except ConfigurationError:  # a policy that holds code is like no other
        decision = {name: value for name, value in decision.items() if name != "version"}
    return {**told, **{name: value for name, value in decision.items() if name != "steps"}}


# --- the core alone ---


def play_core(case: Case) -> Played:
    """The judge: the policy, driven over the tape without any framework."""
    tapes = _tapes(case)
    given = case.settings()
    seen: list[Any] = []
    policy = Watched(policy_from(given), seen)
    book = price_book(case.prices)
    tiers = tuple(
        describe(tier.name, tier.name, None, book, context_window=tier.window, supports_tools=tier.tools) for tier in case.tiers
    )
    reference = reference_index(given.get("reference", -1), len(tiers))
    outcomes = []
    cache: SemanticCache | None = given.get("cache")
    kept: list[Any] = []
    for question in case.questions:
        earlier = [Message(role, text) for role, text in question.before]
        query = Query(
            [*earlier, Message("user", question.text)],
            tiers,
            reference,
            question.system,
            [_FUNCTION] if case.kind == "tools" else (),
            Verdict.model_json_schema() if case.kind in _VALUES else None,
        )

        def perform(call: Call, query: Query = query) -> Answer:
            if call.n > 1:
                return samples([perform(Call(call.tier, call.query, temperature=call.temperature)) for _ in range(call.n)])
            own = call.query is query
            asked = Asked(
                call.query.text,
                call.query.system,
                len(call.query.messages) - 1,
                _OFFERED.get(case.kind, ()) if own else (),
                call.temperature,
                10 if policy.needs_logprobs and not call.final else None,
            )
            reply = tapes[tiers[call.tier].name].play(asked)
            if reply.fails:
                raise FAILURES[reply.fails]()
            return _core_answer(reply, call, tiers[call.tier].price, kind=case.kind if own else "chat")

        with cache_options(**question.options) as options:
            lookup = None
            if cache is not None:
                own = question_of(query, identity="", namespace=cache.namespace(options), max_turns=cache.max_turns)
                lookup = cache.lookup(own)
            if lookup is not None and lookup.hit is not None:
                served = kept[int(lookup.hit.entry.payload)]
                decision = lookup.decision(policy.name, policy.version)
                outcomes.append(Outcome(_decision(decision.to_dict()), served, streamed=served))
                continue
            try:
                decision = drive(policy.decide(query), perform)
            except Exception as error:
                outcomes.append(Outcome(error=_error(error)))
                if lookup is not None:
                    lookup.abandon()
                continue
            answer = decision.answer
            served = answer.parsed if case.kind in _VALUES else _served(answer.text, answer.tool_calls)
            if lookup is not None:
                decision = lookup.told(decision)
                lookup.settle(_answered(decision, str(len(kept)), given.get("temperature"), case.kind))
                kept.append(served)
        outcomes.append(Outcome(_decision(decision.to_dict()), served, streamed=served))
    return Played(outcomes, {name: tape.asked for name, tape in tapes.items()}, seen, counted=_counted(given))


def _answered(decision: Decision, payload: str, temperature: float | None, kind: Kind) -> Answered:
    answer = decision.answer
    return Answered(
        answer.text,
        payload,
        objection_to(answer, decision, temperature),
        semantic=not answer.tool_calls or kind in _VALUES,
        cost_usd=decision.cost_usd,
        baseline_cost_usd=decision.baseline_cost_usd,
    )


def _counted(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a case's cache counted, without what depends on how a framework writes its responses."""
    cache = given.get("cache")
    if cache is None:
        return None
    return {name: value for name, value in cache.stats().to_dict().items() if name != "bytes"}


_VALUES = ("structured", "json")
_OFFERED: Mapping[Kind, tuple[str, ...]] = {"tools": ("get_weather",), "structured": ("Verdict",)}


def _core_answer(reply: Reply, call: Call, price: Any, *, kind: Kind) -> Answer:
    parsed, problem = None, None
    if kind in _VALUES:
        try:
            (written,) = (args for _, args in reply.calls) if kind == "structured" else (reply.text,)
            parsed = Verdict.model_validate_json(written)
        except (ValueError, ValidationError) as error:
            problem = str(error)
    usage = None if reply.usage is None else Usage(*reply.usage)
    signal = None if reply.margin is None else logprobs(reply.text or "x", reply.margin)
    answer = Answer(
        reply.text,
        tuple(_core_call(f"call_{number}", *one) for number, one in enumerate(reply.calls)),
        parse_logprobs(signal),
        usage,
        None if usage is None or price is None else price.cost(usage),
        0.0,
        finish_reason=reply.finish,
        parsed=parsed,
        parsing_error=problem,
        tier=call.tier,
    )
    return answer if usage is not None else estimated(answer, call.query)


def _core_call(id: str, name: str, args: str) -> ToolCall:
    try:
        read = json.loads(args)
    except json.JSONDecodeError as error:
        return ToolCall(name, {}, id, str(error))
    return ToolCall(name, read, id) if isinstance(read, dict) else ToolCall(name, {}, id, "no object")


_FUNCTION = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


# --- LangChain ---


async def play_langchain(case: Case, client: str, how: str) -> Played:
    """The case through `ChatFrugal`, asked by one of `LANGCHAIN`."""
    tapes = _tapes(case)
    models = [_langchain_fake(tape) if client == "fake" else _langchain_client(tape) for tape in tapes.values()]
    given = case.settings()
    with _warned() as warned:
        llm: Any = ChatFrugal(models, prices=case.prices, **given)
        seen = _watched(llm)
        if case.kind == "tools":
            llm = llm.bind_tools([get_weather])
        elif case.kind in _VALUES:
            method = {"json": "json_schema", "structured": "function_calling"}[case.kind]
            llm = llm.with_structured_output(Verdict, include_raw=True, **({"method": method} if client == "wire" else {}))
        outcomes = [await _ask_langchain(llm, how, question) for question in case.questions]
    return Played(outcomes, {name: tape.asked for name, tape in tapes.items()}, seen, _texts(warned), _counted(given))


async def _ask_langchain(llm: Any, how: str, question: Question) -> Outcome:
    system: list[BaseMessage] = [SystemMessage(question.system)] if question.system else []
    earlier = [HumanMessage(text) if role == "user" else AIMessage(text) for role, text in question.before]
    asked = [*system, *earlier, HumanMessage(question.text)]
    try:
        with cache_options(**question.options):
            answer = await lc.ask(llm, how, asked, {"max_concurrency": 1})  # else a batch plays samples in any order
    except Exception as error:
        return Outcome(error=_error(error))
    if isinstance(answer, dict):
        return Outcome(_decision(lc.decision(answer["raw"])), answer["parsed"], streamed=answer["parsed"])
    broken = [ToolCall(call["name"] or "", {}, error="broken") for call in answer.invalid_tool_calls]
    calls = [*(ToolCall(call["name"], call["args"]) for call in answer.tool_calls), *broken]
    served = _served(answer.text, calls)
    return Outcome(_decision(lc.decision(answer)), served, streamed=served)


def _langchain_fake(tape: Tape) -> BaseChatModel:
    tier = tape.tier
    known = {} if tier.window is None else {"profile": {"max_input_tokens": tier.window}}
    fake = (lc.Fake if tier.tools else lc.ToollessFake)(model=tier.name, sure=None, usage=None, **known)

    def reply(messages: list[BaseMessage]) -> Any:
        kwargs = fake.log.calls[-1].kwargs
        said = tape.play(
            Asked(
                next(str(message.text) for message in reversed(messages) if isinstance(message, HumanMessage)),
                "\n".join(str(message.text) for message in messages if isinstance(message, SystemMessage)),
                sum(not isinstance(message, SystemMessage) for message in messages) - 1,
                tuple(tool["function"]["name"] for tool in kwargs.get("tools", ())),
                kwargs.get("temperature"),
            )
        )
        return FAILURES[said.fails]() if said.fails else _langchain_message(said)

    fake.reply = reply
    return fake


def _langchain_message(reply: Reply) -> AIMessage:
    good, bad = [], []
    for number, (name, args) in enumerate(reply.calls):
        call = _core_call(f"call_{number}", name, args)
        if call.error is None:
            good.append(tool_call(name=name, args=dict(call.args), id=call.id))
        else:
            bad.append(invalid_tool_call(name=name, args=args, id=call.id, error=None))
    signal = {} if reply.margin is None else {"logprobs": logprobs(reply.text or "x", reply.margin)}
    usage: Any = None
    if reply.usage is not None:
        read, written, cached = reply.usage
        details = {"input_token_details": {"cache_read": cached}} if cached else {}
        usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written, **details}
    metadata = {"finish_reason": reply.finish, **signal}
    return AIMessage(reply.text, tool_calls=good, invalid_tool_calls=bad, usage_metadata=usage, response_metadata=metadata)


def _langchain_client(tape: Tape) -> BaseChatModel:
    known: dict[str, Any] = {} if tape.tier.window is None else {"max_input_tokens": tape.tier.window}
    handler = _wire(tape)
    return ChatOpenAI(
        model=tape.tier.name,
        base_url="http://recorded/v1",
        api_key=SecretStr("k"),
        max_retries=0,
        stream_usage=True,
        profile={**known, "tool_calling": tape.tier.tools},
        http_client=httpx.Client(transport=httpx.MockTransport(handler), trust_env=False),
        http_async_client=httpx.AsyncClient(transport=httpx.MockTransport(handler), trust_env=False),
    )


# --- LlamaIndex ---


async def play_llamaindex(case: Case, client: str, how: str) -> Played:
    """The case through `FrugalLLM`, asked by one of `LLAMAINDEX`."""
    tapes = _tapes(case)
    models = [_llamaindex_fake(tape) if client == "fake" else _llamaindex_client(tape) for tape in tapes.values()]
    given = case.settings()
    with _warned() as warned:
        llm = FrugalLLM(models, prices=case.prices, **given)
        seen = _watched(llm)
        outcomes = [await _ask_llamaindex(llm, how, question) for question in case.questions]
    return Played(outcomes, {name: tape.asked for name, tape in tapes.items()}, seen, _texts(warned), _counted(given))


def speaks(case: Case, how: str) -> bool:
    """Whether a way to ask can tell all of a case's questions: a completion has neither system prompt nor history."""
    return "complete" not in how or not any(question.system or question.before for question in case.questions)


async def _ask_llamaindex(llm: FrugalLLM, how: str, question: Question) -> Outcome:
    system = [ChatMessage(question.system, role="system")] if question.system else []
    earlier = [ChatMessage(text, role=role) for role, text in question.before]
    messages = [*system, *earlier, ChatMessage(question.text)]
    asked: tuple[Any, ...] = (messages,)
    if "complete" in how:
        asked = (question.text,)
    elif "tools" in how:
        asked = ([FunctionTool.from_defaults(get_weather)], None, messages, False, True)  # parallel calls, as LangChain's
    elif "structured" in how:
        asked = (Verdict, ChatPromptTemplate(messages))
    structured = "structured" in how
    with _decided() if structured else nullcontext([]) as decided:
        try:
            with cache_options(**question.options):
                pieces = await _pieces(getattr(llm, how)(*asked), how)
        except Exception as error:
            return Outcome(error=_error(error))
    last = pieces[-1]
    if structured:
        (decision,) = decided
        return Outcome(_decision(decision), last, streamed=last)
    if isinstance(last, ChatResponse):
        served = _served(last.message.content or "", [_llamaindex_call(block) for block in last.message.blocks])
    else:
        served = last.text
    streamed = "".join(piece.delta or "" for piece in pieces) if "stream" in how and isinstance(served, str) else served
    return Outcome(_decision(li.decision(last)), served, streamed=streamed)


async def _pieces(reply: Any, how: str) -> list[Any]:
    if how.startswith("a"):
        reply = await reply
    if "stream" not in how:
        return [reply]
    return [piece async for piece in reply] if how.startswith("a") else list(reply)


def _llamaindex_call(block: Any) -> ToolCall | None:
    if not isinstance(block, ToolCallBlock):
        return None
    args = block.tool_kwargs
    return _core_call("", block.tool_name, args if isinstance(args, str) else json.dumps(args))


def _llamaindex_fake(tape: Tape) -> li.Fake:
    fake = li.Fake(model=tape.tier.name, window=tape.tier.window, tools=tape.tier.tools)

    def reply(messages: list[ChatMessage]) -> Any:
        kwargs = fake.log.calls[-1].kwargs
        said = tape.play(
            Asked(
                next(message.content or "" for message in reversed(messages) if message.role.value == "user"),
                "\n".join(message.content or "" for message in messages if message.role.value == "system"),
                sum(message.role.value != "system" for message in messages) - 1,
                tuple(tool["function"]["name"] for tool in kwargs.get("tools", ())),
                kwargs.get("temperature"),
            )
        )
        return FAILURES[said.fails]() if said.fails else _llamaindex_response(said, tape.tier.name)

    fake.reply = reply
    return fake


def _llamaindex_response(reply: Reply, model: str) -> ChatResponse:
    calls = [
        ToolCallBlock(tool_call_id=f"call_{number}", tool_name=name, tool_kwargs=args)
        for number, (name, args) in enumerate(reply.calls)
    ]
    listed = {"tool_calls": [_wire_call(number, *call) for number, call in enumerate(reply.calls)]} if calls else {}
    message = ChatMessage(role="assistant", blocks=[TextBlock(text=reply.text), *calls], additional_kwargs=listed)
    return ChatResponse(message=message, raw=_completion(reply, model))


def _llamaindex_client(tape: Tape) -> OpenAI:
    handler = _wire(tape)
    given: dict[str, Any] = {
        "model": tape.tier.name,
        "api_base": "http://recorded/v1",
        "api_key": "k",
        "max_retries": 0,
        "http_client": httpx.Client(transport=httpx.MockTransport(handler), trust_env=False),
        "async_http_client": httpx.AsyncClient(transport=httpx.MockTransport(handler), trust_env=False),
    }
    if tape.tier.name.startswith("gpt-"):
        return OpenAI(**given)
    window = {} if tape.tier.window is None else {"context_window": tape.tier.window}
    return OpenAILike(is_chat_model=True, is_function_calling_model=tape.tier.tools, **window, **given)


class _Decisions(BaseEventHandler):
    decided: list[Any]

    @classmethod
    def class_name(cls) -> str:
        return "Decisions"

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, FrugalDecisionEvent):
            self.decided.append(event.decision)


@contextmanager
def _decided() -> Iterator[list[Any]]:
    """What is decided in the block: a value of the user's class carries no decision."""
    handler = _Decisions(decided=[])
    handlers = get_dispatcher().event_handlers
    handlers.append(handler)
    try:
        yield handler.decided
    finally:
        handlers.remove(handler)


# --- the wire ---


def _wire(tape: Tape) -> Callable[[httpx.Request], httpx.Response]:
    """OpenAI's protocol, played from tape."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        messages = body["messages"]
        temperature = body.get("temperature")
        reply = tape.play(
            Asked(
                next(_text(message) for message in reversed(messages) if message["role"] == "user"),
                "\n".join(_text(message) for message in messages if message["role"] == "system"),
                sum(message["role"] != "system" for message in messages) - 1,
                tuple(tool["function"]["name"] for tool in body.get("tools", ())),
                None if temperature == _LLAMAINDEX_DEFAULT else temperature,
                body.get("top_logprobs") if body.get("logprobs") else None,
            )
        )
        if reply.fails == "timeout":
            raise httpx.ReadTimeout("timed out")
        if reply.fails == "lost connection":
            raise httpx.ConnectError("connection refused")
        if reply.fails:
            _, status, message, code = REFUSALS[reply.fails]
            return httpx.Response(status, json=refusal_body(message, code))
        if not body.get("stream"):
            return httpx.Response(200, json=_completion(reply, tape.tier.name, asked=bool(body.get("logprobs"))))
        counted = bool((body.get("stream_options") or {}).get("include_usage"))
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(reply, tape.tier.name, counted=counted)]
        content = "".join([*events, "data: [DONE]\n\n"])
        return httpx.Response(200, content=content.encode(), headers={"content-type": "text/event-stream"})

    return answer


_LLAMAINDEX_DEFAULT = 0.1
"""LlamaIndex's OpenAI client sends this temperature where nobody gave one."""


def _text(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _completion(reply: Reply, model: str, *, asked: bool = True) -> dict[str, Any]:
    """A whole response in OpenAI's shape. Without `asked`, none of it has log-probabilities."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or (None if reply.calls else "")}
    if reply.calls:
        message["tool_calls"] = [_wire_call(number, *call) for number, call in enumerate(reply.calls)]
    signal = None if reply.margin is None or not asked else logprobs(reply.text or "x", reply.margin)
    choice = {"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": signal}
    return {**_frame(model, "chat.completion"), "choices": [choice], "usage": _usage(reply)}


def _chunks(reply: Reply, model: str, *, counted: bool) -> Iterator[dict[str, Any]]:
    frame = _frame(model, "chat.completion.chunk")
    words = reply.text.split(" ") if reply.text else []
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word if place == 0 else f" {word}"} for place, word in enumerate(words)]
    for number, (name, args) in enumerate(reply.calls):
        begun = _wire_call(number, name, "")
        deltas.append({"tool_calls": [{**begun, "index": number}]})
        deltas += [{"tool_calls": [{"index": number, "function": {"arguments": piece}}]} for piece in (args[:5], args[5:])]
    for delta in deltas:
        yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None}
    yield {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish}], "usage": None}
    if counted and reply.usage is not None:
        yield {**frame, "choices": [], "usage": _usage(reply)}


def _frame(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-recorded", "object": kind, "created": 0, "model": model}


def _wire_call(number: int, name: str, args: str) -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": args}}


def _usage(reply: Reply) -> dict[str, Any] | None:
    if reply.usage is None:
        return None
    read, written, cached = reply.usage
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return {**counts, "prompt_tokens_details": {"cached_tokens": cached}} if cached else counts


# --- what the policy sees ---


class Watched(Policy):
    """Decides as another policy does, and notes all that it is given.

    Args:
        inner: The other policy.
        seen: Where to note it.
    """

    def __init__(self, inner: Policy, seen: list[Any]) -> None:
        self.inner = inner
        self.seen = seen

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def version(self) -> str:  # type: ignore[override]
        return self.inner.version

    @property
    def needs_logprobs(self) -> bool:
        return self.inner.needs_logprobs

    def decide(self, query: Query) -> Any:
        self.seen.append(
            (
                *(query.text, query.system, [(message.role, message.text) for message in query.messages]),
                *([tool["name"] for tool in query.tools], (query.response_format or {}).get("title"), query.reference),
                query.tiers,
            )
        )
        flow = self.inner.decide(query)
        try:
            call = next(flow)
            while True:
                try:
                    answer = yield call
                except Exception as error:
                    self.seen.append(_error(error))
                    call = flow.throw(error)
                else:
                    self.seen += [self._view(each, call) for each in (answer, *answer.samples)]
                    call = flow.send(answer)
        except StopIteration as done:
            return done.value
        finally:
            flow.close()

    def _view(self, answer: Answer, call: Call) -> Any:
        calls = [(call.name, dict(call.args), call.error is not None) for call in answer.tool_calls]
        form = (answer.parsed, answer.parsing_error is not None)
        told = (answer.text, calls, form, answer.usage, answer.cost_usd, answer.tier)
        if call.final:  # streams need not tell the rest
            return told
        signal = tuple(answer.logprobs) if self.needs_logprobs else ()  # given unasked, by fakes alone
        return (*told, answer.finish_reason, signal)


def _watched(llm: Any) -> list[Any]:
    """What a wrapper's policy will be given."""
    seen: list[Any] = []
    object.__setattr__(llm._runner, "policy", Watched(llm._runner.policy, seen))
    return seen


# --- outcomes ---


def _tapes(case: Case) -> dict[str, Tape]:
    return {tier.name: Tape(tier) for tier in case.tiers}


def _served(text: str, calls: Sequence[ToolCall | None]) -> Any:
    """Text, or the tool calls; a call whose arguments cannot be read has `None` for them."""
    told = tuple((call.name, dict(call.args) if call.error is None else None) for call in calls if call is not None)
    return (text, *told) if text and told else told or text


def _error(error: BaseException) -> tuple[str, str]:
    name = type(error).__name__
    return NATURE.get(name, name), str(error)


def _decision(told: Mapping[str, Any]) -> dict[str, Any]:
    steps = [
        {name: _plain(name, value, step["reason"]) for name, value in step.items() if name != "latency_s"}
        for step in told["steps"]
    ]
    own = dict.fromkeys(("cache_age_s", "cache_key"))  # the key is of the models' own settings, in each framework's form
    return {**told, **own, "steps": steps}


def _plain(name: str, value: Any, reason: str) -> Any:
    if name == "error" and value is not None:
        if reason in ("invalid", "truncated", "filtered"):  # each framework's parser has its own words
            return True
        return _common(value)
    return value


def _steps(outcome: Outcome) -> str:
    if outcome.decision is None:
        return f"! {outcome.error[0] if outcome.error else None}"
    return " > ".join(f"{step['tier']} {step['reason']}" for step in outcome.decision["steps"])


def _warned() -> AbstractContextManager[Any]:
    return warnings.catch_warnings(record=True, action="always")


def _texts(warned: Sequence[warnings.WarningMessage]) -> list[str]:
    return [_common(str(one.message)) for one in warned]


def _common(text: str) -> str:
    for own, common in NATURE.items():
        text = text.replace(own, common)
    return text
