"""Agents and workflows with FrugalLLM: tools, hand-offs, memory, streams of events, cancelling and waiting for a person."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    JsonSerializer,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from pydantic import BaseModel
from workflows.errors import WorkflowCancelledByUser

from li import Fake, calls_tool, decision, frugal, large, listening, small
from llamaindex_frugal import FrugalDecisionEvent, FrugalLLM, FrugalTierSkippedEvent, Margin, SchemaValid
from llamaindex_frugal.playground import PlaygroundLLM

pytestmark = pytest.mark.filterwarnings(  # of core alone
    "ignore::pydantic.warnings.PydanticDeprecationWarning",
    "ignore:is_running called from within a step",
    "ignore:Skipping serialization of known unserializable key. memory",
)
streamed = pytest.mark.parametrize("streaming", [True, False])
each_maker = pytest.mark.parametrize("maker", ["small", "large"])

Run = tuple[AgentOutput, list[Any], list[dict[str, Any]]]


async def run(agent: Any, text: str, **kwargs: Any) -> Run:
    """What an agent answered, the events it streamed, and the decisions on the way."""
    with listening() as heard:
        handler = agent.run(user_msg=text, **kwargs)
        events = [event async for event in handler.stream_events()]
        output: AgentOutput = await handler
    return output, events, [event.decision for event in heard if isinstance(event, FrugalDecisionEvent)]


def deltas(events: Sequence[Any]) -> list[str]:
    return [event.delta for event in events if isinstance(event, AgentStream) and event.delta]


def results(events: Sequence[Any]) -> list[str]:
    return [str(event.tool_output.content) for event in events if isinstance(event, ToolCallResult)]


def tiers(told: Sequence[dict[str, Any]]) -> list[str | None]:
    return [one["tier"] for one in told]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def several(*calls: tuple[str, dict[str, Any]]) -> ChatMessage:
    """An answer that wants several tools run."""
    blocks = [
        ToolCallBlock(tool_call_id=f"call_{place}", tool_name=name, tool_kwargs=args)
        for place, (name, args) in enumerate(calls)
    ]
    return ChatMessage(role="assistant", blocks=blocks)


def worker(*calls: tuple[str, dict[str, Any]]) -> Callable[[list[ChatMessage]], Any]:
    """Asks for tools and, when it has their results, says them."""

    def reply(messages: list[ChatMessage]) -> Any:
        last_user = max(place for place, message in enumerate(messages) if message.role is MessageRole.USER)
        told = [message.content for message in messages[last_user:] if message.role is MessageRole.TOOL]
        return f"it is {' and '.join(map(str, told))}" if told else several(*calls)

    return reply


def pair(maker: str, reply: Any, **settings: Any) -> tuple[FrugalLLM, Fake, Fake]:
    """A cascade whose answers are all of one maker, and its models."""
    first = small(reply, **settings) if maker == "small" else small("SECRET draft", sure=0.1, **settings)
    last = large(reply, **settings)
    return frugal(first, last), first, last


# --- for real ---

SUMS = {
    "What is 127 plus 466?": ("127+466", "593"),
    "What is 812 minus 377?": ("812-377", "435"),
    "Ann has 530 apples and buys 301 more. How many apples does Ann have now?": ("530+301", "831"),
}


def calculator(expression: str) -> str:
    """Calculate an expression such as 1+2."""
    sign = "+" if "+" in expression else "-"
    a, b = map(int, expression.split(sign))
    return str(a + b if sign == "+" else a - b)


@streamed
@pytest.mark.parametrize("question", SUMS)
async def test_a_calculator_with_playground_models(question: str, streaming: bool) -> None:
    """The small model calls the tool, but cannot even copy the result; the large one can."""
    asked, answer = SUMS[question]
    scorer = Margin().or_else(SchemaValid())
    llm = FrugalLLM([PlaygroundLLM("playground-small"), PlaygroundLLM("playground-large")], scorer=scorer, threshold=0.5)
    output, events, told = await run(FunctionAgent(tools=[calculator], llm=llm, streaming=streaming), question)
    assert str(output) == answer
    assert [call.tool_kwargs for call in output.tool_calls] == [{"expression": asked}]
    assert results(events) == [answer]
    assert tiers(told) == ["playground-small", "playground-large"]
    assert "".join(deltas(events)) == (answer if streaming else "")
    assert sum(one["cost_usd"] for one in told) < sum(one["baseline_cost_usd"] for one in told)


# --- tools ---


@streamed
@each_maker
async def test_a_tool_and_an_answer(maker: str, streaming: bool) -> None:
    llm, first, last = pair(maker, worker(("add", {"a": 1, "b": 2})))
    output, events, told = await run(FunctionAgent(tools=[add], llm=llm, streaming=streaming), "1 and 2?")
    assert str(output) == "it is 3"
    assert tiers(told) == [maker] * 2
    assert (len(first.log), len(last.log)) == (2, 0 if maker == "small" else 2)
    assert "".join(deltas(events)) == ("it is 3" if streaming else "")
    assert not streaming or len(deltas(events)) == (1 if maker == "small" else 3)
    assert "SECRET" not in repr(events)
    assert "frugal" not in repr(output.response)


@each_maker
@streamed
async def test_parallel_tools(maker: str, streaming: bool) -> None:
    llm, first, _ = pair(maker, worker(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})))
    agent = FunctionAgent(tools=[add], llm=llm, streaming=streaming)
    memory = ChatMemoryBuffer(token_limit=2000)
    output, events, _ = await run(agent, "Sums?", memory=memory)
    assert str(output) == "it is 3 and 7"
    assert sorted(results(events)) == ["3", "7"]
    assert first.log.calls[0].kwargs["parallel_tool_calls"] is True
    roles = [message.role.value for message in memory.get_all()]
    assert roles == ["user", "assistant", "tool", "tool", "assistant"]
    ids = [message.additional_kwargs["tool_call_id"] for message in memory.get_all() if message.role is MessageRole.TOOL]
    assert sorted(ids) == ["call_0", "call_1"]


@each_maker
async def test_a_result_that_is_the_answer(maker: str) -> None:
    llm, first, _ = pair(maker, worker(("add", {"a": 1, "b": 2})))
    tool = FunctionTool.from_defaults(add, return_direct=True)
    output, _, told = await run(FunctionAgent(tools=[tool], llm=llm), "1 and 2?")
    assert str(output) == "3"
    assert (len(told), len(first.log)) == (1, 1)


@streamed
async def test_the_first_tool_may_be_chosen(streaming: bool) -> None:
    llm, first, last = pair("large", worker(("add", {"a": 1, "b": 2})))
    await run(FunctionAgent(tools=[add], llm=llm, streaming=streaming, initial_tool_choice="add"), "1 and 2?")
    for tier in (first, last):
        assert [call.kwargs.get("tool_choice") for call in tier.log.calls] == ["add", None]


@each_maker
async def test_a_tool_that_fails(maker: str) -> None:
    def divide(a: int) -> int:
        """Divide."""
        raise ValueError("no such number")

    llm, _, _ = pair(maker, worker(("divide", {"a": 1})))
    output, events, _ = await run(FunctionAgent(tools=[divide], llm=llm), "half?")
    assert str(output) == "it is no such number"
    assert [event.tool_output.is_error for event in events if isinstance(event, ToolCallResult)] == [True]


async def test_a_model_without_tools_is_passed_over() -> None:
    first, last = small(tools=False), large(worker(("add", {"a": 1, "b": 2})))
    with listening() as heard:
        output, _, told = await run(FunctionAgent(tools=[add], llm=frugal(first, last)), "1 and 2?")
    assert str(output) == "it is 3"
    assert len(first.log) == 0
    assert [event.reason for event in heard if isinstance(event, FrugalTierSkippedEvent)] == ["no_tools"] * 2
    assert tiers(told) == ["large", "large"]


@streamed
async def test_a_failing_model_does_not_end_the_run(streaming: bool) -> None:
    first, last = small(TimeoutError("slow")), large(worker(("add", {"a": 1, "b": 2})))
    output, _, told = await run(FunctionAgent(tools=[add], llm=frugal(first, last), streaming=streaming), "1 and 2?")
    assert str(output) == "it is 3"
    assert [[step["reason"] for step in one["steps"]] for one in told] == [["failed", "last_tier"]] * 2


@streamed
@each_maker
async def test_what_an_output_tells(maker: str, streaming: bool) -> None:
    """`raw` is the provider's; the decision stands in the event alone. Both are plain data."""
    llm, _, _ = pair(maker, "done")
    output, events, told = await run(FunctionAgent(tools=[add], llm=llm, streaming=streaming), "Hi")
    assert json.loads(json.dumps(output.raw))["model"] == maker
    assert output.raw["usage"]["total_tokens"] == 6
    assert json.loads(json.dumps(told)) == told
    assert told[0]["cost_usd"] == sum(step["cost_usd"] for step in told[0]["steps"]) > 0
    for event in events:
        assert "frugal" not in json.dumps(JsonSerializer().serialize(event))


@streamed
async def test_tokens_are_counted_once(streaming: bool) -> None:
    llm, _, _ = pair("large", worker(("add", {"a": 1, "b": 2})))
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    await run(FunctionAgent(tools=[add], llm=llm, streaming=streaming), "1 and 2?")
    assert len(counter.llm_token_counts) == 4


class Trip(BaseModel):
    city: str
    days: int


@each_maker
async def test_an_answer_of_a_class(maker: str) -> None:
    def reply(messages: list[ChatMessage]) -> Any:
        return (
            calls_tool("Trip", {"city": "Rome", "days": 3}) if "provided schema" in str(messages[-1]) else "Three days in Rome."
        )

    llm, _, _ = pair(maker, reply)
    output, _, told = await run(FunctionAgent(tools=[add], llm=llm, output_cls=Trip), "Where to?")
    assert output.get_pydantic_model(Trip) == Trip(city="Rome", days=3)
    assert tiers(told) == [maker, maker]


# --- agents that are told what to do in text ---


def reasoning(messages: list[ChatMessage]) -> str:
    """Writes as ReAct wants it."""
    if "Observation: 3" in (messages[-1].content or ""):
        return "Thought: I can answer without using any more tools.\nAnswer: it is 3"
    return 'Thought: I need a tool.\nAction: add\nAction Input: {"a": 1, "b": 2}'


@streamed
@each_maker
async def test_react(maker: str, streaming: bool) -> None:
    llm, first, _ = pair(maker, reasoning)
    output, events, told = await run(ReActAgent(tools=[add], llm=llm, streaming=streaming), "1 and 2?")
    assert str(output) == "it is 3"
    assert results(events) == ["3"]
    assert tiers(told) == [maker] * 2
    assert "SECRET" not in repr(events)
    assert all("tools" not in call.kwargs for call in first.log.calls)


def coding(messages: list[ChatMessage]) -> str:
    return "it is 3" if "ran:" in (messages[-1].content or "") else "Let me see. <execute>add(1, 2)</execute>"


@streamed
@each_maker
@pytest.mark.parametrize("tools", [True, False])
async def test_code_act(tools: bool, maker: str, streaming: bool) -> None:
    """Code is text: models that take no tools will do."""

    async def execute(code: str) -> str:
        """Run code."""
        return f"ran: {code}"

    llm, _, _ = pair(maker, coding, tools=tools)
    output, events, told = await run(CodeActAgent(execute, tools=[add], llm=llm, streaming=streaming), "1 and 2?")
    assert str(output) == "it is 3"
    assert results(events) == ["ran: add(1, 2)"]
    assert tiers(told) == [maker] * 2
    assert "SECRET" not in repr(events)


# --- several agents, state, memory ---


async def note(ctx: Context, text: str) -> str:
    """Write something down."""
    async with ctx.store.edit_state() as stored:
        stored["state"]["notes"].append(text)
    return "noted"


def researching(messages: list[ChatMessage]) -> Any:
    seen = [message.content for message in messages if message.role is MessageRole.TOOL]
    if "noted" not in seen:
        return calls_tool("note", {"text": "Rome is old."}, "call_note")
    return calls_tool("handoff", {"to_agent": "writer", "reason": "It is all noted."}, "call_handoff")


@streamed
@each_maker
async def test_two_agents_hand_over(maker: str, streaming: bool) -> None:
    llm, _, _ = pair(maker, researching)
    other, _, _ = pair("small", lambda messages: f"A report after {len(messages)} messages.")
    agents = [
        FunctionAgent(
            name="researcher",
            description="Takes notes.",
            tools=[note],
            llm=llm,
            can_handoff_to=["writer"],
            streaming=streaming,
        ),
        FunctionAgent(name="writer", description="Writes.", llm=other, can_handoff_to=[], streaming=streaming),
    ]
    workflow = AgentWorkflow(agents, root_agent="researcher", initial_state={"notes": []})
    context: Context = Context(workflow)
    output, events, told = await run(workflow, "A report on Rome, please.", ctx=context)
    assert str(output).startswith("A report after")
    assert output.current_agent_name == "writer"
    assert (await context.store.get("state"))["notes"] == ["Rome is old."]
    assert [call.tool_name for call in output.tool_calls] == ["note", "handoff"]
    assert tiers(told) == [maker, maker, "small"]
    assert "SECRET" not in repr(events)


def remembering(messages: list[ChatMessage]) -> Any:
    """Notes the turn, then tells it."""
    if messages[-1].role is MessageRole.TOOL:
        return f"turn {sum(message.role is MessageRole.USER for message in messages)}"
    return calls_tool("note", {"text": "a turn"})


@streamed
@each_maker
async def test_a_context_lives_on_in_plain_data(maker: str, streaming: bool) -> None:
    """Two runs, then a third in another process, as it were: nothing of a draft or a decision is kept."""
    memory = ChatMemoryBuffer(token_limit=2000)  # core: "will require this item to be set manually"
    llm, _, _ = pair(maker, remembering)
    agent = FunctionAgent(tools=[note], llm=llm, streaming=streaming, initial_state={"notes": []})
    context: Context = Context(agent)
    assert str((await run(agent, "One.", ctx=context, memory=memory))[0]) == "turn 1"
    assert str((await run(agent, "Two.", ctx=context, memory=memory))[0]) == "turn 2"
    kept = json.dumps(context.to_dict(serializer=JsonSerializer()))
    assert "SECRET" not in kept + repr(memory)
    assert "frugal" not in kept + repr(memory)
    again, _, _ = pair(maker, remembering)
    agent = FunctionAgent(tools=[note], llm=again, streaming=streaming)
    restored = Context.from_dict(agent, json.loads(kept), serializer=JsonSerializer())
    assert str((await run(agent, "Three.", ctx=restored, memory=memory))[0]) == "turn 3"
    assert (await restored.store.get("state"))["notes"] == ["a turn"] * 3


async def book(ctx: Context, city: str) -> str:
    """Book a journey."""
    reply = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(prefix=f"To {city}?"))
    return f"booked for {reply.response}"


@streamed
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_waiting_for_a_person(elsewhere: bool, streaming: bool) -> None:
    """The run may be put away while it waits, with the model's tool call in it, and taken up again elsewhere."""
    llm, first, last = pair("large", worker(("book", {"city": "Rome"})))
    agent = FunctionAgent(tools=[book], llm=llm, streaming=streaming)
    memory = ChatMemoryBuffer(token_limit=2000)
    handler = agent.run(user_msg="To Rome!", memory=memory)
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            assert event.prefix == "To Rome?"
            break
    if elsewhere:
        kept = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
        assert "SECRET" not in kept
        assert "frugal" not in kept
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler
        restored: Context = Context.from_dict(agent, json.loads(kept), serializer=JsonSerializer())
        handler = agent.run(ctx=restored)
        await handler.ctx.store.set("memory", memory)
    handler.ctx.send_event(HumanResponseEvent(response="Ann"))
    assert str(await asyncio.wait_for(handler, 20)) == "it is booked for Ann"
    assert (len(first.log), len(last.log)) == (2, 2)


# --- cancelling, and plain workflows ---


class Endless(Fake):
    """Says a word, then nothing more; `reply` is the event that tells of it."""

    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        async def pieces() -> AsyncIterator[ChatResponse]:
            try:
                yield ChatResponse(message=ChatMessage("the", role="assistant"), delta="the")
                self.reply.set()
                await asyncio.Event().wait()
            finally:
                self.log.add(closed=1)

        return pieces()

    async def achat(self, messages: Any, **kwargs: Any) -> Any:
        try:
            self.reply.set()
            await asyncio.Event().wait()
        finally:
            self.log.add(closed=1)


@pytest.mark.parametrize("place", ["draft", "live"])
async def test_cancelling_a_run_ends_its_calls(place: str) -> None:
    reached = asyncio.Event()
    endless = Endless(model="small" if place == "draft" else "large", reply=reached)
    llm = frugal(endless, large()) if place == "draft" else frugal(small("SECRET", sure=0.1), endless)
    handler = FunctionAgent(llm=llm).run(user_msg="Go on.")
    await asyncio.wait_for(reached.wait(), 20)
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await asyncio.wait_for(handler, 20)
    assert endless.log.closed == 1


class Part(Event):
    number: int


class Answer(Event):
    text: str
    cost: float


class Fanned(Workflow):
    """Asks four questions at once."""

    def __init__(self, llm: FrugalLLM, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.llm = llm

    @step
    async def split(self, ctx: Context, event: StartEvent) -> Part | None:
        for number in range(4):
            ctx.send_event(Part(number=number))
        return None

    @step(num_workers=4)
    async def ask(self, event: Part) -> Answer:
        response = await self.llm.acomplete(f"question {event.number}")
        return Answer(text=response.text, cost=decision(response)["cost_usd"])

    @step
    async def gather(self, ctx: Context, event: Answer) -> StopEvent | None:
        answers = ctx.collect_events(event, [Answer] * 4)
        if answers is None:
            return None
        return StopEvent(result=(sorted(answer.text for answer in answers), sum(answer.cost for answer in answers)))


async def test_a_workflow_whose_steps_ask_at_once() -> None:
    """All four are under way before any is answered, each with its own decision."""
    meeting, waiting = asyncio.Event(), []

    class Meeting(Fake):
        async def achat(self, messages: Any, **kwargs: Any) -> Any:
            waiting.append(messages)
            if len(waiting) == 4:
                meeting.set()
            await asyncio.wait_for(meeting.wait(), 20)
            return await super().achat(messages, **kwargs)

    first = Meeting(model="small", reply=lambda messages: f"echo {messages[-1].content}")
    with listening() as heard:
        texts, cost = await Fanned(frugal(first, large())).run()
    assert texts == [f"echo question {number}" for number in range(4)]
    told = [event.decision for event in heard if isinstance(event, FrugalDecisionEvent)]
    assert tiers(told) == ["small"] * 4
    assert cost == pytest.approx(sum(one["cost_usd"] for one in told)) == pytest.approx(4 * 6e-6)
