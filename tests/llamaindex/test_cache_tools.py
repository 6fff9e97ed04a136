"""Tools, agents and structured prediction through the cache: calls and values come back as the models gave them."""

import json
from contextlib import suppress

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step
from pydantic import BaseModel, Field, field_validator

import caching
from frugal_core.cache import cache_options
from li import Fake, calls_tool, decision, frugal, large, listening, small
from llamaindex_frugal import CachedLLM, FrugalDecisionEvent

pytestmark = pytest.mark.filterwarnings(  # of core alone
    "ignore::pydantic.warnings.PydanticDeprecationWarning",
    "ignore:is_running called from within a step",
)

ASKED, ALIKE = "how warm is it in the north of spain today", "how warm is it in the north of spain now today"
TOOL_WAYS = ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")


def weather(city: str) -> str:
    """The weather of a city."""
    return f"warm in {city}"


def sights(city: str) -> str:
    """The sights of a city."""
    return f"a cathedral in {city}"


async def with_tools(llm, way, tools, text, **kwargs):
    """The whole answer, or the last piece."""
    reply = getattr(llm, way)(tools, text, **kwargs)
    if way.startswith("a"):
        reply = await reply
    if "stream" not in way:
        return reply
    return [piece async for piece in reply][-1] if way.startswith("a") else list(reply)[-1]


@pytest.mark.parametrize("way", TOOL_WAYS)
async def test_a_call_answers_its_very_question_alone_and_is_read_by_who_wrote_it(way):
    class Own(Fake):
        """Reads its calls its own way."""

        def get_tool_calls_from_response(self, response, error_on_no_tool_call=True, **kwargs):
            found = super().get_tool_calls_from_response(response, error_on_no_tool_call, **kwargs)
            return [each.model_copy(update={"tool_name": f"own {each.tool_name}"}) for each in found]

    first = Own(model="small", reply=calls_tool("weather", {"city": "Bilbao"}))
    llm = frugal(first, large(), cache=caching.cache())
    tools = [FunctionTool.from_defaults(weather)]
    answers = [await with_tools(llm, way, tools, each) for each in (ASKED, ASKED, ALIKE)]
    assert [decision(each)["cache"] for each in answers] == ["miss", "hit", "miss"]
    for each in answers:
        (call,) = llm.get_tool_calls_from_response(each)
        assert (call.tool_name, call.tool_kwargs, call.tool_id) == ("own weather", {"city": "Bilbao"}, "call_1")


@pytest.mark.parametrize("way", TOOL_WAYS)
async def test_tools_and_how_they_may_be_called_are_part_of_the_question(way):
    llm = frugal(small(), large(), cache=caching.cache())
    one, other = FunctionTool.from_defaults(weather), FunctionTool.from_defaults(sights)
    told = [
        decision(await with_tools(llm, way, tools, ASKED, **kwargs))["cache"]
        for tools, kwargs in [
            ([one], {}),
            ([one, other], {}),
            ([one], {"tool_required": True}),
            ([one], {"tool_choice": "weather"}),
            ([one], {}),
        ]
    ]
    assert told == ["miss", "miss", "miss", "miss", "hit"]


def test_an_integrations_own_form_of_calls_does_not_keep_them_out():
    answer = calls_tool("weather", {"city": "Bilbao"})
    answer.additional_kwargs["tool_calls"] = [object()]
    llm = frugal(small(answer), large(), cache=caching.cache())
    tools = [FunctionTool.from_defaults(weather)]
    assert decision(llm.chat_with_tools(tools, ASKED))["cache"] == "miss"
    again = llm.chat_with_tools(tools, ASKED)
    assert decision(again)["cache"] == "hit"
    assert again.message.additional_kwargs == {}
    odd = ChatMessage("words", role="assistant", additional_kwargs={"odd": object()})
    cache = caching.cache()
    llm = frugal(small(odd), large(), cache=cache)
    llm.chat([ChatMessage(ASKED)])
    assert cache.stats().kept_out == {"unserializable": 1}


# --- agents ---


def scripted():
    """A model that looks at the weather and then says it."""

    def reply(messages):
        if messages[-1].role.value == "tool":
            return f"It is {messages[-1].content}."
        return calls_tool("weather", {"city": "Bilbao"})

    return Fake(model="small", reply=reply)


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_asked_the_same_again_asks_no_model(streaming):
    model = scripted()
    llm = frugal(model, large(), cache=caching.cache())
    tools = [FunctionTool.from_defaults(weather)]
    said = []
    for _ in range(2):
        agent = FunctionAgent(tools=tools, llm=llm, streaming=streaming)
        said.append(str(await agent.run(user_msg=ASKED)))
    assert said == ["It is warm in Bilbao."] * 2
    assert len(model.log) == 2


async def test_an_agent_belongs_to_the_tenant_it_runs_for():
    model = scripted()
    llm = frugal(model, large(), cache=caching.cache())

    async def run(tenant):
        with cache_options(namespace=tenant), listening() as heard:
            await FunctionAgent(tools=[FunctionTool.from_defaults(weather)], llm=llm).run(user_msg=ASKED)
        return [event.decision["cache"] for event in heard if isinstance(event, FrugalDecisionEvent)]

    assert [await run(tenant) for tenant in "aba"] == [["miss"] * 2, ["miss"] * 2, ["hit"] * 2]


async def test_observations_of_a_react_agent_are_matched_exactly():
    def reply(messages):
        if "warm in" in (messages[-1].content or ""):
            return "Thought: I know.\nAnswer: warm"
        return 'Thought: I look.\nAction: weather\nAction Input: {"city": "Bilbao"}'

    model = Fake(model="small", reply=reply, tools=False)
    llm = frugal(model, large(), cache=caching.cache())
    for _ in range(2):
        assert str(await ReActAgent(tools=[FunctionTool.from_defaults(weather)], llm=llm).run(user_msg=ASKED)) == "warm"
    assert len(model.log) == 2


async def test_a_workflows_step_carries_the_options():
    llm = frugal(small(), large(), cache=caching.cache())

    class Flow(Workflow):
        @step
        async def only(self, event: StartEvent) -> StopEvent:
            return StopEvent(result=decision(await llm.achat([ChatMessage(ASKED)]))["cache"])

    async def run(tenant):
        with cache_options(namespace=tenant):
            return await Flow().run()

    assert [await run(tenant) for tenant in "aba"] == ["miss", "miss", "hit"]


# --- values ---


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int = Field(alias="numberOfDays")


class Strict(BaseModel):
    """A number."""

    value: int

    @field_validator("value")
    @classmethod
    def small_enough(cls, value):
        if value > limit[0]:
            raise ValueError("too large")
        return value


limit = [10]
PROMPT = PromptTemplate("Plan by {rule}: {query_str}")
VALUE_WAYS = (
    *("structured_predict", "astructured_predict"),
    *("stream_structured_predict", "astream_structured_predict"),
)
each_way = pytest.mark.parametrize("way", VALUE_WAYS)


async def predict(llm, way, cls, prompt=PROMPT, **slots):
    with listening() as heard:
        value = getattr(llm, way)(cls, prompt, **slots)
        if way.startswith("a"):
            value = await value
        if "stream" in way:
            value = [piece async for piece in value][-1] if way.startswith("a") else list(value)[-1]
    told = [event.decision for event in heard if isinstance(event, FrugalDecisionEvent)]
    return value, told[-1]


def trips(**settings):
    return Fake(model="small", reply=calls_tool("Trip", {"city": "Bilbao", "numberOfDays": 3}), **settings)


@each_way
async def test_values_are_validated_again_and_alike_questions_share_them(way):
    model = trips()
    llm = frugal(model, large(), cache=caching.cache())
    found = [
        await predict(llm, way, Trip, rule=rule, query_str=each)
        for rule, each in [("cost", ASKED), ("cost", ALIKE), ("time", ASKED)]
    ]
    assert [told["cache"] for _, told in found] == ["miss", "hit", "miss"]
    values = [value for value, _ in found]
    assert all(type(value) is Trip for value in values)
    assert values[0] == values[1]
    assert values[0] is not values[1]
    assert len(model.log) == 2


async def test_the_ways_to_a_value_share_it_and_another_class_does_not():
    class Longer(BaseModel):
        """A trip."""

        city: str
        days: int = Field(alias="numberOfDays", description="Never more than ten.")

    llm = frugal(trips(), large(), cache=caching.cache())
    told = [(await predict(llm, way, Trip, rule="cost", query_str=ASKED))[1]["cache"] for way in VALUE_WAYS]
    assert told == ["miss", "hit", "hit", "hit"]
    before = len(llm._runner.tiers[0].llm.log)
    with suppress(ValueError):  # what comes is no call of this class
        await predict(llm, "structured_predict", Longer, rule="cost", query_str=ASKED)
    assert len(llm._runner.tiers[0].llm.log) == before + 1


async def test_a_value_that_is_none_any_more_is_asked_for_anew():
    model = Fake(model="small", reply=calls_tool("Strict", {"value": 7}))
    llm = frugal(model, cache=caching.cache())
    limit[0] = 10
    assert (await predict(llm, "structured_predict", Strict, rule="r", query_str=ASKED))[1]["cache"] == "miss"
    limit[0] = 5
    try:
        with pytest.raises(ValueError, match="too large"):
            await predict(llm, "structured_predict", Strict, rule="r", query_str=ASKED)
    finally:
        limit[0] = 10
    assert len(model.log) == 2


async def test_what_is_no_value_is_not_kept():
    cache = caching.cache()
    llm = frugal(small(calls_tool("Trip", {"city": "Bilbao"})), large(calls_tool("Trip", {"city": "Bilbao"})), cache=cache)
    for way in VALUE_WAYS[:2]:
        with pytest.raises(ValueError, match="numberOfDays"):
            await predict(llm, way, Trip, rule="cost", query_str=ASKED)
    for way in VALUE_WAYS[2:]:
        await predict(llm, way, Trip, rule="cost", query_str=ASKED)
    assert cache.stats().stored == 0
    assert not cache._flights._flying


async def test_a_structured_llm_is_matched_exactly():
    model = trips()
    llm = CachedLLM(model, caching.cache()).as_structured_llm(Trip)
    texts = [llm.complete(each).text for each in (ASKED, ASKED, ALIKE)]
    assert [json.loads(text)["city"] for text in texts] == ["Bilbao"] * 3
    assert len(model.log) == 2


async def test_options_reach_no_model_here_either():
    model = trips()
    llm = frugal(model, large(), cache=caching.cache())
    given = {"no_cache": True}
    for way in VALUE_WAYS:
        await predict(llm, way, Trip, rule="cost", query_str=ASKED, llm_kwargs=given)
    assert given == {"no_cache": True}
    assert len(model.log) == 4
    assert not any("no_cache" in call.kwargs for call in model.log.calls)
