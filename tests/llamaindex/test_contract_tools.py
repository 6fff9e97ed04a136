"""Tools: each model gets them in its provider's form, and its calls are read by itself; the caller's lists stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from frugal_core.policies import Single
from frugal_core.types import Answer, Query
from li import Fake, calls_tool, decision, frugal, large, reasons

USES = ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")
CHATS = ("chat", "achat", "stream_chat", "astream_chat")
each_use = pytest.mark.parametrize("how", USES)
each_chat = pytest.mark.parametrize("how", CHATS)


class Gpt(Fake):
    """Takes OpenAI's form alone."""

    def _answer(self, how: str, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        assert all(tool["function"]["name"] for tool in kwargs.get("tools", ()))  # KeyError for another form
        return super()._answer(how, messages, kwargs)


class Claude(Fake):
    """Takes Anthropic's form alone, and writes its calls where only it finds them."""

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = [] if chat_history is None else chat_history
        if user_msg is not None:
            messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
        formed = [{"name": tool.metadata.name, "input_schema": tool.metadata.get_parameters_dict()} for tool in tools]
        choice = {"type": "any" if tool_required else "auto", "disable_parallel_tool_use": not allow_parallel_tool_calls}
        return {"messages": messages, "tools": formed, **({"tool_choice": choice} if tools else {}), **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        uses = response.message.additional_kwargs.get("tool_calls", [])
        if not uses and error_on_no_tool_call:
            raise ValueError("Claude called no tool.")
        return [ToolSelection(tool_id=use["id"], tool_name=use["name"], tool_kwargs=use["input"]) for use in uses]

    def _answer(self, how: str, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        assert all(tool["input_schema"] for tool in kwargs.get("tools", ()))
        return super()._answer(how, messages, kwargs)


def gpt(reply: Any = "in words", sure: float = 0.9, **settings: Any) -> Gpt:
    return Gpt(model="small", reply=reply, sure=sure, **settings)


def claude(reply: Any = "in words", sure: float = 0.9, model: str = "large", **settings: Any) -> Claude:
    return Claude(model=model, reply=reply, sure=sure, **settings)


def gpts_call(a: Any = 1) -> ChatMessage:
    return calls_tool("double", {"a": a}, id="call_gpt")


def claudes_call(a: Any = 1, text: str = "") -> ChatMessage:
    use = {"id": "toolu_claude", "name": "double", "input": {"a": a}}
    return ChatMessage(text, role="assistant", additional_kwargs={"tool_calls": [use]})


DONE: list[int] = []


def double(a: int) -> int:
    """Double a number."""
    DONE.append(a)
    return 2 * a


TOOL = FunctionTool.from_defaults(double)
RAW = {"type": "function", "function": {"name": "double", "parameters": {"type": "object", "properties": {}}}}


async def read(reply: Any) -> list[Any]:
    """All pieces of what a call gives."""
    if hasattr(reply, "__await__"):
        reply = await reply
    if hasattr(reply, "__aiter__"):
        return [piece async for piece in reply]
    return list(reply) if hasattr(reply, "__next__") else [reply]


async def use(llm: Any, how: str, tools: Sequence[Any] = (TOOL,), **kwargs: Any) -> list[Any]:
    """An LLM asked with tools by one of `USES`, or by one of `CHATS` with what it prepares itself."""
    if how in USES:
        return await read(getattr(llm, how)(tools, "Double 1!", **kwargs))
    prepared = llm._prepare_chat_with_tools(tools, user_msg="Double 1!", **kwargs)
    return await read(getattr(llm, how)(**prepared))


# --- each in its own form ---


@pytest.mark.parametrize("how", [*USES, *CHATS])
async def test_each_model_gets_the_tools_in_its_providers_form(how: str) -> None:
    first, last = gpt(sure=0.1), claude()
    pieces = await use(frugal(first, last), how)
    assert reasons(pieces[-1]) == [("small", "unsure"), ("large", "last_tier")]
    assert first.log.calls[0].kwargs["tools"] == [TOOL.metadata.to_openai_tool()]
    (formed,) = last.log.calls[0].kwargs["tools"]
    assert formed == {"name": "double", "input_schema": TOOL.metadata.get_parameters_dict()}
    assert [message.content for message in last.log.calls[0].messages] == ["Double 1!"]
    chat = "achat" if how.startswith("a") else "chat"
    assert (first.log.hows, last.log.hows) == ([chat], [chat.replace("chat", "stream_chat") if "stream" in how else chat])


@pytest.mark.parametrize("how", [*USES, *CHATS])
async def test_how_tools_may_be_used_reaches_each_model_in_its_words(how: str) -> None:
    first, last = gpt(sure=0.1), claude()
    await use(frugal(first, last), how, tool_required=True, allow_parallel_tool_calls=True)
    assert first.log.calls[0].kwargs["tool_required"] is True
    assert first.log.calls[0].kwargs["parallel_tool_calls"] is True
    assert last.log.calls[0].kwargs["tool_choice"] == {"type": "any", "disable_parallel_tool_use": False}
    await use(frugal(first, last), how)
    assert first.log.calls[1].kwargs["tool_required"] is False
    assert first.log.calls[1].kwargs["parallel_tool_calls"] is False
    assert last.log.calls[1].kwargs["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize("how", [*USES, *CHATS])
async def test_a_choice_of_tool_and_other_arguments_reach_each_model(how: str) -> None:
    first, last = gpt(sure=0.1), claude()
    await use(frugal(first, last), how, tool_choice="double", temperature=0.2)
    for model in (first, last):
        assert model.log.calls[0].kwargs["tool_choice"] == "double"
        assert model.log.calls[0].kwargs["temperature"] == 0.2


class Old(Gpt):
    """An integration from before `tool_required`."""

    def _prepare_chat_with_tools(  # type: ignore[override]
        self,
        tools: Sequence[Any],
        user_msg: Any = None,
        chat_history: Any = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
    ) -> dict[str, Any]:
        return super()._prepare_chat_with_tools(tools, user_msg, chat_history, verbose, allow_parallel_tool_calls)


@each_use
async def test_an_integration_that_cannot_require_a_tool_is_asked_all_the_same(how: str) -> None:
    first, last = Old(model="small", sure=0.1), Old(model="large")
    pieces = await use(frugal(first, last), how, tool_required=True)
    assert decision(pieces[-1])["tier"] == "large"


@pytest.mark.parametrize("tools", [True, False], ids=["models with tools", "models without"])
@pytest.mark.parametrize("how", [*USES, *CHATS])
async def test_without_tools_nothing_is_said_of_tools(how: str, tools: bool) -> None:
    first, last = gpt(sure=0.1, tools=tools), claude(tools=tools)
    pieces = await use(
        frugal(first, last), how, tools=[], tool_choice="auto", tool_required=False, allow_parallel_tool_calls=True, seed=7
    )
    assert decision(pieces[-1])["tier"] == "large"
    for model in (first, last):
        kwargs = model.log.calls[0].kwargs
        assert not any("tool" in name for name in kwargs)
        assert kwargs["seed"] == 7


@pytest.mark.parametrize("how", [*USES, *CHATS])
async def test_models_that_take_no_tools_are_not_asked_with_them(how: str) -> None:
    first, last = gpt(tools=False), claude()
    pieces = await use(frugal(first, last), how)
    assert reasons(pieces[-1]) == [("small", "no_tools"), ("large", "last_tier")]
    assert len(first.log) == 0


@pytest.mark.parametrize("how", [*USES, *CHATS])
async def test_where_no_model_takes_tools_that_is_said(how: str) -> None:
    llm = frugal(gpt(tools=False), claude(tools=False))
    with pytest.raises(NotImplementedError, match="small > large"):
        await use(llm, how)
    with pytest.raises(NotImplementedError, match="small > large"):
        llm.get_tool_calls_from_response(ChatResponse(message=gpts_call()))


@each_chat
async def test_tools_in_a_providers_own_form_reach_each_model_as_they_are(how: str) -> None:
    first, last = gpt(sure=0.1), Gpt(model="large")
    reply = getattr(frugal(first, last), how)([ChatMessage("hi")], tools=[RAW], tool_choice="auto")
    assert decision((await read(reply))[-1])["tier"] == "large"
    for model in (first, last):
        assert model.log.calls[0].kwargs["tools"] == [RAW]
        assert model.log.calls[0].kwargs["tool_choice"] == "auto"


@each_chat
async def test_tools_in_a_providers_own_form_are_tools_to_the_policy_too(how: str) -> None:
    first, last = gpt(tools=False), Gpt(model="large")
    (*_, answer) = await read(getattr(frugal(first, last), how)([ChatMessage("hi")], tools=[RAW]))
    assert reasons(answer) == [("small", "no_tools"), ("large", "last_tier")]


@pytest.mark.parametrize("tool", [TOOL, RAW], ids=["LlamaIndex's", "a provider's"])
async def test_a_scorer_sees_the_tools_and_what_was_called(tool: Any) -> None:
    seen: list[tuple[Query, Answer]] = []

    def score(query: Query, answer: Answer) -> float:
        seen.append((query, answer))
        return 1.0

    llm = frugal(gpt(gpts_call(5)), large(), scorer=score)
    await llm.achat([ChatMessage("hi")], tools=[tool])
    ((query, answer),) = seen
    assert [function["name"] for function in query.tools] == ["double"]
    assert [(call.name, call.args) for call in answer.tool_calls] == [("double", {"a": 5})]


@each_use
async def test_a_scorer_sees_calls_that_only_their_writer_can_read(how: str) -> None:
    def score(query: Query, answer: Answer) -> float:
        return float([(call.name, call.args, call.id) for call in answer.tool_calls] == [("double", {"a": 5}, "toolu_claude")])

    pieces = await use(frugal(claude(claudes_call(5), model="small"), large(), scorer=score), how)
    assert reasons(pieces[-1]) == [("small", "confident")]


class Unreadable(Claude):
    """Its parser fails, as some do on arguments that broke off."""

    def get_tool_calls_from_response(self, response: ChatResponse, *args: Any, **kwargs: Any) -> list[ToolSelection]:
        raise ValueError("Invalid tool call.")


@each_use
async def test_an_answer_whose_calls_cannot_be_read_is_left_behind_and_no_crash(how: str) -> None:
    llm = frugal(Unreadable(model="small", reply=claudes_call()), claude(claudes_call(2)))
    pieces = await use(llm, how)
    assert reasons(pieces[-1]) == [("small", "empty"), ("large", "last_tier")]
    alone = await use(frugal(Unreadable(model="small", reply=claudes_call())), how)  # as without a wrapper: no crash
    assert alone[-1].message.additional_kwargs == claudes_call().additional_kwargs


# --- the caller's lists ---


class Scribbler(Fake):
    """Writes into every list that it is given."""

    def _prepare_chat_with_tools(self, tools: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        prepared = super()._prepare_chat_with_tools(tools, *args, **kwargs)
        tools.append("scribbled")
        return prepared

    def _answer(self, how: str, messages: Any, kwargs: dict[str, Any]) -> ChatResponse:
        answer = super()._answer(how, messages, copy.deepcopy(kwargs))
        messages.append(ChatMessage("scribbled"))
        for name in ("tools", "stop"):
            kwargs.get(name, []).append("scribbled")
        kwargs["scribbled"] = True
        return answer


def scribblers() -> tuple[Scribbler, Scribbler]:
    return Scribbler(model="small", sure=0.1), Scribbler(model="large")


@each_chat
async def test_a_conversation_stays_the_callers_and_each_model_gets_one_of_its_own(how: str) -> None:
    first, last = scribblers()
    messages = [ChatMessage("Be kind.", role="system"), ChatMessage("hi")]
    given = list(messages)
    await read(getattr(frugal(first, last), how)(messages))
    assert messages == given
    assert [model.log.calls[0].messages for model in (first, last)] == [given, given]


@each_chat
async def test_lists_among_the_arguments_stay_the_callers_and_each_model_gets_its_own(how: str) -> None:
    first, last = scribblers()
    arguments: dict[str, Any] = {"tools": [RAW], "stop": ["\n"]}
    await read(getattr(frugal(first, last), how)([ChatMessage("hi")], **arguments))
    assert arguments == {"tools": [RAW], "stop": ["\n"]}
    for model in (first, last):
        kwargs = model.log.calls[0].kwargs
        assert (kwargs["tools"], kwargs["stop"], "scribbled" in kwargs) == ([RAW], ["\n"], False)


@pytest.mark.parametrize("how", [*USES, *CHATS])
async def test_history_and_tools_stay_the_callers_and_each_model_gets_its_own(how: str) -> None:
    first, last = scribblers()
    history, tools = [ChatMessage("Be kind.", role="system"), ChatMessage("hi")], [TOOL]
    await use(frugal(first, last), how, tools=tools, chat_history=history)
    assert [message.content for message in history] == ["Be kind.", "hi"]
    assert tools == [TOOL]
    for model in (first, last):
        assert [message.content for message in model.log.calls[0].messages] == ["Be kind.", "hi", "Double 1!"]
        assert model.log.calls[0].kwargs["tools"] == [TOOL.metadata.to_openai_tool()]


# --- calls are read by who wrote them ---


def selections(llm: Any, response: Any) -> list[tuple[str, str, Any]]:
    found = llm.get_tool_calls_from_response(response)
    return [(one.tool_id, one.tool_name, one.tool_kwargs) for one in found]


GPTS, CLAUDES = [("call_gpt", "double", {"a": 1})], [("toolu_claude", "double", {"a": 1})]


@pytest.mark.parametrize("how", [*USES, *CHATS])
@pytest.mark.parametrize("served", [0, 1], ids=["accepted", "escalated"])
@pytest.mark.parametrize("order", ["gpt first", "claude first"])
async def test_calls_are_read_by_the_model_that_wrote_them(how: str, served: int, order: str) -> None:
    sure = 0.1 if served else 0.9
    if order == "gpt first":
        models: list[Fake] = [gpt(gpts_call(), sure=sure), claude(claudes_call())]
    else:
        models = [claude(claudes_call(), sure=sure, model="small"), Gpt(model="large", reply=gpts_call())]
    llm = frugal(*models)
    pieces = await use(llm, how)
    expected = GPTS if isinstance(models[served], Gpt) else CLAUDES
    assert decision(pieces[-1])["tier"] == models[served].model
    assert selections(llm, pieces[-1]) == expected


@pytest.mark.parametrize("form", ["LlamaIndex's", "a provider's"])
@pytest.mark.parametrize("how", ["stream_chat", "astream_chat"])
async def test_calls_in_a_live_stream_are_read_from_each_chunk_by_the_model_that_writes_it(how: str, form: str) -> None:
    tool = TOOL if form == "LlamaIndex's" else {**RAW, "name": "double", "input_schema": {"type": "object"}}
    llm = frugal(claude(claudes_call(text="I will call"), model="small"), gpt(), policy=Single(0))
    *chunks, closing = await read(getattr(llm, how)([ChatMessage("hi")], tools=[tool]))
    assert [bool(llm.get_tool_calls_from_response(chunk, error_on_no_tool_call=False)) for chunk in chunks] == [
        *(False, False),
        True,
    ]
    assert selections(llm, chunks[-1]) == selections(llm, closing) == CLAUDES


def test_a_response_that_tells_no_model_is_read_by_the_last_that_can() -> None:
    response = ChatResponse(message=claudes_call())
    assert selections(frugal(gpt(), claude()), response) == CLAUDES
    assert selections(frugal(claude(model="small"), large(tools=False)), response) == CLAUDES


async def test_whether_it_is_an_error_to_call_nothing_is_the_callers_choice() -> None:
    llm = frugal(claude(model="small"), gpt())
    (response,) = await use(llm, "chat_with_tools")
    with pytest.raises(ValueError, match="Claude called no tool"):
        llm.get_tool_calls_from_response(response)
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []


@pytest.mark.parametrize("how", [*USES, *CHATS])
@pytest.mark.parametrize("sure", [0.9, 0.1], ids=["accepted", "escalated"])
async def test_a_provider_finds_its_own_calls_in_the_message_afterwards(how: str, sure: float) -> None:
    llm = frugal(claude(claudes_call(), sure=sure, model="small"), claude(claudes_call()))
    pieces = await use(llm, how)
    assert pieces[-1].message.additional_kwargs == claudes_call().additional_kwargs


# --- from end to end ---


@pytest.mark.parametrize("how", ["predict_and_call", "apredict_and_call"])
@pytest.mark.parametrize("sure", [0.9, 0.1], ids=["accepted", "escalated"])
async def test_a_predicted_call_is_made(how: str, sure: float) -> None:
    llm = frugal(gpt(gpts_call(3), sure=sure), claude(claudes_call(4)))
    (answer,) = await read(getattr(llm, how)([TOOL], "Double it!"))
    assert answer.response == ("6" if sure > 0.5 else "8")


def then_in_words(call: ChatMessage, text: str) -> Any:
    """A model that calls a tool, and says something when it has the result."""
    return lambda messages: text if any(message.role == "tool" for message in messages) else call


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # workflows looks at all members
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("sure", [0.9, 0.1], ids=["accepted", "escalated"])
async def test_an_agent_cascades_in_every_step(streaming: bool, sure: float) -> None:
    first = gpt(then_in_words(gpts_call(3), "It is 6."), sure=sure)
    last = claude(then_in_words(claudes_call(4), "It is 8."))
    DONE.clear()
    agent = FunctionAgent(tools=[TOOL], llm=frugal(first, last), streaming=streaming)
    result = await agent.run("Double it!")
    assert str(result) == ("It is 6." if sure > 0.5 else "It is 8.")
    assert ([3] if sure > 0.5 else [4]) == DONE
    assert (len(first.log), len(last.log)) == ((2, 0) if sure > 0.5 else (2, 2))


class Doubled(BaseModel):
    """A number and its double."""

    a: int


@pytest.mark.parametrize("how", ["stream_call", "astream_call"])
@pytest.mark.parametrize("policy", [None, Single(0)], ids=["buffered", "live"])
async def test_a_program_reads_the_calls_of_a_stream(how: str, policy: Any) -> None:
    reply = claudes_call(7, "I will call")
    settings = {} if policy is None else {"policy": policy}
    llm = frugal(claude(reply, model="small"), gpt(), **settings)
    program = FunctionCallingProgram.from_defaults(Doubled, prompt=PromptTemplate("Double {word}!"), llm=llm)
    pieces = await read(getattr(program, how)(word="it"))
    assert pieces[-1] == Doubled(a=7)


async def test_what_a_tool_said_goes_back_to_the_model_that_called_it() -> None:
    first, last = gpt(gpts_call(), sure=0.1), claude(claudes_call())
    llm = frugal(first, last)
    (response,) = await use(llm, "achat_with_tools")
    told = ChatMessage("2", role="tool", additional_kwargs={"tool_call_id": "toolu_claude"})
    await llm.achat_with_tools([TOOL], chat_history=[ChatMessage("Double 1!"), response.message, told])
    asked = last.log.calls[1].messages
    assert [message.role.value for message in asked] == ["user", "assistant", "tool"]
    assert not any(isinstance(block, ToolCallBlock) for block in asked[0].blocks)
    assert "frugal" not in str([message.model_dump() for message in asked])
