"""The playground as a LlamaIndex LLM: every endpoint says what the model says, in the form that OpenAI's API has."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, TextBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.llms import LLM
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

import rag
from frugal_core.errors import UnknownModelError
from frugal_core.playground.chat import ChatError
from frugal_core.playground.language_model import MODEL_NAMES, LanguageModel
from frugal_core.policies.failures import recoverable
from llamaindex_frugal.playground import PlaygroundLLM

SMALL, MEDIUM, LARGE = MODEL_NAMES
QUESTION = "Which is larger, 3 or 88?"
ASKED = [ChatMessage(QUESTION)]
CHATS = ("chat", "stream_chat", "achat", "astream_chat")
COMPLETIONS = ("complete", "stream_complete", "acomplete", "astream_complete")
LONG = "x" * 300


class Larger(BaseModel):
    """The larger number."""

    value: int


class Basket(BaseModel):
    """A list of numbers."""

    owner: str
    items: list[Larger]


def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression."""
    left, right = expression.split("+")
    return str(int(left) + int(right))


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


CALCULATOR, WEATHER = FunctionTool.from_defaults(calculator), FunctionTool.from_defaults(weather)


def essence(response: ChatResponse | CompletionResponse) -> tuple[Any, ...]:
    """What must be the same however a model is asked; identifiers and times differ."""
    if isinstance(response, CompletionResponse):
        return response.text, response.additional_kwargs, response.raw["usage"]
    calls = [(block.tool_name, block.tool_kwargs) for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    return response.message.content, calls, response.additional_kwargs, response.raw["usage"]


async def ask(llm: LLM, endpoint: str, prompt: str = QUESTION, **options: Any) -> Any:
    """Ask at an endpoint, and return the answer or a stream's last chunk."""
    given: Any = prompt if "complete" in endpoint else [ChatMessage(prompt)]
    answer = getattr(llm, endpoint)(given, **options)
    if inspect.isawaitable(answer):
        answer = await answer
    if isinstance(answer, AsyncGenerator):
        return [chunk async for chunk in answer][-1]
    return list(answer)[-1] if isinstance(answer, Generator) else answer


def usage(response: ChatResponse | CompletionResponse) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: response.raw["usage"][name] for name in names}


# -- answers


@pytest.mark.parametrize(
    "options", [{}, {"top_logprobs": 3}, {"temperature": 2.0, "seed": 4, "max_tokens": 5}, {"stop": ["8"]}]
)
async def test_all_endpoints_say_the_same(options: dict[str, Any]) -> None:
    llm = PlaygroundLLM(**options)
    chats = [await ask(llm, endpoint) for endpoint in CHATS]
    completions = [await ask(llm, endpoint) for endpoint in COMPLETIONS]
    assert [essence(answer) for answer in chats] == [essence(chats[0])] * 4
    assert [essence(answer) for answer in completions] == [essence(completions[0])] * 4
    assert completions[0].text == chats[0].message.content
    assert usage(completions[0]) == usage(chats[0]) == chats[0].additional_kwargs
    assert chats[0].message.role == "assistant"


def test_a_response_is_openais() -> None:
    response = PlaygroundLLM(logprobs=True, top_logprobs=2).chat(ASKED)
    raw = response.raw
    assert json.loads(json.dumps(raw)) == raw
    assert (raw["object"], raw["model"]) == ("chat.completion", LARGE)
    (choice,) = raw["choices"]
    assert choice["message"]["content"] == response.message.content == "88"
    assert choice["finish_reason"] == "stop"
    assert "".join(token["token"] for token in choice["logprobs"]["content"]) == "88"
    assert usage(response)["total_tokens"] == usage(response)["prompt_tokens"] + usage(response)["completion_tokens"]
    assert usage(response)["prompt_tokens"] == len(LanguageModel.load(LARGE).tokenizer.encode(QUESTION)) + 2


def test_a_stream_is_openais() -> None:
    chunks = list(PlaygroundLLM(top_logprobs=2).stream_chat([ChatMessage("Hello")]))
    deltas = [chunk.delta or "" for chunk in chunks]
    assert [chunk.message.content for chunk in chunks] == ["".join(deltas[: end + 1]) for end in range(len(deltas))]
    assert "".join(deltas) == "Hello! Ask me a small question."
    assert {(chunk.raw["object"], chunk.raw["id"]) for chunk in chunks} == {("chat.completion.chunk", chunks[0].raw["id"])}
    assert chunks[0].raw["choices"][0]["delta"] == {"role": "assistant", "content": "Hello"}
    assert chunks[-2].raw["choices"][0]["finish_reason"] == "stop"
    assert [chunk.raw["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert [chunk.additional_kwargs for chunk in chunks[:-1]] == [{}] * (len(chunks) - 1)
    assert (chunks[-1].raw["choices"], chunks[-1].raw["usage"]["completion_tokens"]) == ([], len(chunks) - 2)
    tokens = [token for chunk in chunks[:-2] for token in chunk.raw["choices"][0]["logprobs"]["content"]]
    assert [token["token"] for token in tokens] == deltas[:-2]


@pytest.mark.parametrize("tools", [[], [WEATHER]])
def test_chunks_do_not_change_after_they_came(tools: list[FunctionTool]) -> None:
    question = "Weather in Rome?" if tools else "Hello"
    chunks, seen = [], []
    for chunk in PlaygroundLLM().stream_chat_with_tools(tools, question):
        chunks.append(chunk)
        seen.append(chunk.model_dump_json())
    assert [chunk.model_dump_json() for chunk in chunks] == seen
    assert len({str(chunk.message.blocks) for chunk in chunks}) > 3


def test_a_stream_may_go_without_usage_and_has_one_choice() -> None:
    llm = PlaygroundLLM(temperature=2, seed=1)
    chunks = list(llm.stream_chat(ASKED, stream_options={"include_usage": False}))
    assert not any("usage" in chunk.raw for chunk in chunks)
    several = list(llm.stream_chat(ASKED, n=3))
    assert essence(several[-1]) == essence(list(llm.stream_chat(ASKED))[-1])
    assert len(llm.chat(ASKED, n=3).raw["choices"]) == 3


def test_logprobs_are_given_when_asked_for() -> None:
    assert PlaygroundLLM().chat(ASKED).logprobs is None
    assert PlaygroundLLM().chat(ASKED).raw["choices"][0]["logprobs"] is None
    alone = PlaygroundLLM(logprobs=True).chat(ASKED).logprobs
    assert alone is not None
    assert [[one.token for one in token] for token in alone] == [["88"]]
    for response in (
        PlaygroundLLM(top_logprobs=3).chat(ASKED),
        PlaygroundLLM().chat(ASKED, logprobs=True, top_logprobs=3),
        PlaygroundLLM(top_logprobs=3).complete(QUESTION),
    ):
        assert response.logprobs is not None
        reported = response.raw["choices"][0]["logprobs"]["content"]
        assert [[one.model_dump() for one in token] for token in response.logprobs] == [
            token["top_logprobs"] for token in reported
        ]
        assert [len(token) for token in response.logprobs] == [3]
        assert response.logprobs[0][0].logprob == reported[0]["logprob"] <= 0


def test_what_a_call_gives_goes_before_the_fields() -> None:
    llm = PlaygroundLLM(temperature=0, max_tokens=1, stop=["#"])
    whole = llm.chat([ChatMessage("What can you do?")], max_tokens=None).message.content
    assert whole == "I can answer small questions."
    assert llm.chat([ChatMessage("What can you do?")]).message.content == "I"
    assert llm.chat([ChatMessage("What can you do?")]).raw["choices"][0]["finish_reason"] == "length"
    stopped = llm.chat([ChatMessage("What can you do?")], max_tokens=50, stop=" small").message.content
    assert stopped == PlaygroundLLM(stop=[" small"]).complete("What can you do?").text == "I can answer"
    said = {llm.chat(ASKED, temperature=2, seed=seed, max_tokens=5).message.content for seed in range(5)}
    assert len(said) > 1
    assert llm.chat(ASKED, model=SMALL).raw["model"] == SMALL


def test_json_mode_and_a_response_format() -> None:
    llm = PlaygroundLLM()
    free = llm.chat([ChatMessage("Use JSON with a 'value'. Add 3 to 4.")], response_format={"type": "json_object"})
    assert list(json.loads(free.message.content or "")) == ["value"]
    form = {"type": "json_schema", "json_schema": {"name": "larger", "schema": Larger.model_json_schema()}}
    assert json.loads(llm.complete(QUESTION, response_format=form).text) == {"value": 88}


def test_the_last_user_message_is_read_and_the_others_are_counted() -> None:
    llm = PlaygroundLLM()
    conversation = [
        ChatMessage("Be brief.", role="system"),
        ChatMessage("What is 1 plus 1?"),
        ChatMessage("2", role="model"),
        ChatMessage([TextBlock(text=QUESTION)]),
    ]
    response = llm.chat(conversation)
    assert response.message.content == "88"
    counts = [llm.chat(conversation[start:]).additional_kwargs["prompt_tokens"] for start in range(4)]
    assert counts == sorted(set(counts), reverse=True)


def test_completions_are_formatted_once() -> None:
    llm = PlaygroundLLM(completion_to_prompt=lambda prompt: prompt.replace("SUM", "What is 12 plus 7?"))
    assert llm.complete("SUM").text == "19"
    assert list(llm.stream_complete("SUM"))[-1].text == "19"
    assert llm.complete("SUM", formatted=True).text != "19"
    assert PlaygroundLLM(system_prompt="Be brief.").predict(PromptTemplate("What is {a} plus 7?"), a=12) == "19"


# -- threads


async def test_the_event_loop_is_free_while_the_model_thinks(monkeypatch: pytest.MonkeyPatch) -> None:
    released, request = threading.Event(), PlaygroundLLM._request

    def held(*arguments: Any) -> Any:
        assert released.wait(30)
        return request(*arguments)

    monkeypatch.setattr(PlaygroundLLM, "_request", held)
    llm = PlaygroundLLM()
    streams = [await llm.astream_chat(ASKED), await llm.astream_complete(QUESTION)]
    answers = asyncio.gather(llm.achat(ASKED), llm.acomplete(QUESTION), *(anext(stream) for stream in streams))
    asyncio.get_running_loop().call_soon(released.set)
    whole, completed, *firsts = await answers
    assert {whole.message.content, completed.text, *(first.delta for first in firsts)} == {"88"}
    for stream in streams:
        await stream.aclose()


async def test_concurrent_calls_do_not_mix() -> None:
    llm = PlaygroundLLM()
    sums = [(a, a + 20) for a in range(2, 14)]
    answers = await asyncio.gather(*(llm.acomplete(f"What is {a} plus 20?") for a, _ in sums))
    assert [answer.text for answer in answers] == [str(total) for _, total in sums]

    async def streamed(a: int) -> str:
        return "".join([chunk.delta or "" async for chunk in await llm.astream_chat([ChatMessage(f"What is {a} plus 20?")])])

    assert await asyncio.gather(*(streamed(a) for a, _ in sums)) == [str(total) for _, total in sums]


# -- tools


def test_a_tool_is_called_in_openais_form() -> None:
    llm = PlaygroundLLM()
    response = llm.chat_with_tools([CALCULATOR, WEATHER], "What is 412 plus 205?")
    (selection,) = llm.get_tool_calls_from_response(response)
    assert (selection.tool_name, selection.tool_kwargs) == ("calculator", {"expression": "412+205"})
    assert response.message.additional_kwargs["tool_calls"] == response.raw["choices"][0]["message"]["tool_calls"]
    assert response.message.additional_kwargs["tool_calls"][0]["id"] == selection.tool_id
    assert response.raw["choices"][0]["finish_reason"] == "tool_calls"
    assert [block.block_type for block in response.message.blocks] == ["tool_call"]


async def test_a_streamed_call_grows_to_the_same() -> None:
    llm = PlaygroundLLM()
    whole = llm.chat_with_tools([WEATHER], "Weather in Rome?")
    chunks = list(llm.stream_chat_with_tools([WEATHER], "Weather in Rome?"))
    later = [chunk async for chunk in await llm.astream_chat_with_tools([WEATHER], "Weather in Rome?")]
    assert essence(chunks[-1]) == essence(later[-1]) == essence(whole)
    grown = [llm.get_tool_calls_from_response(chunk)[0] for chunk in chunks]
    assert grown[0].tool_kwargs == {}
    assert grown[-1].tool_kwargs == {"city": "Rome"}
    assert {call.tool_id for call in grown} == {grown[0].tool_id}
    assert "index" not in chunks[-1].message.additional_kwargs["tool_calls"][0]


@pytest.mark.parametrize(
    ("options", "called"),
    [
        ({}, False),
        ({"tool_required": True}, True),
        ({"tool_choice": "required"}, True),
        ({"tool_choice": "any"}, True),
        ({"tool_choice": "weather"}, True),
        ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, True),
        ({"tool_choice": "none", "tool_required": True}, False),
        ({"tool_choice": "auto", "allow_parallel_tool_calls": True}, False),
    ],
)
async def test_tool_choices(options: dict[str, Any], called: bool) -> None:
    llm = PlaygroundLLM()
    for response in (
        llm.chat_with_tools([WEATHER], "Hello", **options),
        await llm.achat_with_tools([WEATHER], ChatMessage("Hello"), **options),
    ):
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        assert [call.tool_name for call in calls] == ["weather"] * called
    assert not llm.get_tool_calls_from_response(llm.chat_with_tools([WEATHER], "Weather?", tool_choice="none"), False)


def test_no_tool_call_is_an_error_unless_said_otherwise() -> None:
    llm = PlaygroundLLM()
    with pytest.raises(ValueError, match="at least one tool call, but the model said '88'"):
        llm.get_tool_calls_from_response(llm.chat(ASKED))


def test_preparing_a_call_leaves_the_history_alone() -> None:
    llm = PlaygroundLLM()
    history = [ChatMessage("Hi"), ChatMessage("Hello", role="assistant")]
    prepared = llm._prepare_chat_with_tools([WEATHER], "Weather in Rome?", history, max_tokens=9)
    assert [message.content for message in history] == ["Hi", "Hello"]
    assert [message.content for message in prepared["messages"]] == ["Hi", "Hello", "Weather in Rome?"]
    assert (prepared["tool_choice"], prepared["max_tokens"]) == ("auto", 9)
    assert llm._prepare_chat_with_tools([], "Hi", tool_required=True) == {"messages": [ChatMessage("Hi")]}
    assert llm.chat_with_tools([], chat_history=ASKED).message.content == "88"


def test_a_call_that_broke_off_is_completed_as_well_as_can_be() -> None:
    llm = PlaygroundLLM()
    response = llm.chat_with_tools([WEATHER], "Weather in Rome?", max_tokens=4)
    assert response.raw["choices"][0]["finish_reason"] == "length"
    (call,) = llm.get_tool_calls_from_response(response)
    assert call.tool_name == "weather"
    assert call.tool_kwargs != {"city": "Rome"}
    broken = ChatMessage([ToolCallBlock(tool_name="f", tool_kwargs="}{")], role="assistant")
    assert llm.get_tool_calls_from_response(ChatResponse(message=broken))[0].tool_kwargs == {}


def test_a_conversation_with_tool_results_goes_on() -> None:
    llm = PlaygroundLLM()
    question = ChatMessage("What is 412 plus 205?")
    call = llm.chat_with_tools([CALCULATOR], question).message
    (block,) = call.blocks
    assert isinstance(block, ToolCallBlock)
    result = ChatMessage("617", role="tool", additional_kwargs={"tool_call_id": block.tool_call_id})
    answer = llm.chat_with_tools([CALCULATOR], chat_history=[question, call, result])
    assert answer.message.content == "617"
    as_dict = ToolCallBlock(tool_call_id="1", tool_name="calculator", tool_kwargs={"expression": "412+205"})
    other = ChatMessage([as_dict], role="assistant")  # as Anthropic's class makes it
    result = ChatMessage("617", role="tool", additional_kwargs={"tool_call_id": "1"})
    assert llm.chat_with_tools([CALCULATOR], chat_history=[question, other, result]).message.content == "617"
    with pytest.raises(ChatError, match="must be followed by tool messages"):
        llm.chat([question, call])


@pytest.mark.filterwarnings("ignore:The `__fields:pydantic.PydanticDeprecatedSince20")  # workflows looks at all members
@pytest.mark.filterwarnings("ignore:Accessing the 'model_:pydantic.PydanticDeprecatedSince211")
async def test_an_agent_and_predict_and_call_come_to_their_answer() -> None:
    llm = PlaygroundLLM()
    assert llm.predict_and_call([CALCULATOR], "What is 412 plus 205?").response == "617"
    for streaming in (True, False):
        agent = FunctionAgent(tools=[calculator], llm=llm, streaming=streaming)
        answer = await agent.run("What is 412 plus 205?")
        assert str(answer) == "617"
        assert [call.tool_name for call in answer.tool_calls] == ["calculator"]


# -- structured output


async def test_structured_output_in_all_four_ways() -> None:
    llm = PlaygroundLLM()
    prompt = PromptTemplate("Which is larger, {a} or 88?")
    expected = Larger(value=93)
    given = {"tool_choice": "required", "max_tokens": 40}
    assert llm.structured_predict(Larger, prompt, llm_kwargs=given, a=93) == expected
    assert given == {"tool_choice": "required", "max_tokens": 40}
    assert await llm.astructured_predict(Larger, prompt, a=93) == expected
    streamed = list(llm.stream_structured_predict(Larger, prompt, a=93))
    assert streamed[-1] == expected
    assert len(streamed) > 2
    later = [grown async for grown in await llm.astream_structured_predict(Larger, prompt, a=93)]
    assert later[-1] == expected
    assert llm.as_structured_llm(Larger).complete(QUESTION).raw == Larger(value=88)


def test_structured_output_is_written_under_the_schema() -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    llm = PlaygroundLLM(callback_manager=CallbackManager([handler]))
    basket = llm.structured_predict(Basket, PromptTemplate("Ann has 3 apples and 88 cards."))
    assert isinstance(basket, Basket)
    (_, end) = handler.get_event_pairs(CBEventType.LLM)[0]
    response = end.payload["response"]
    assert Basket.model_validate_json(response.message.content) == basket
    assert not response.message.additional_kwargs


async def test_other_program_modes_are_llamaindexs_own() -> None:
    llm = PlaygroundLLM(pydantic_program_mode=PydanticProgramMode.FUNCTION)
    prompt = PromptTemplate(QUESTION)
    given = {"max_tokens": 40, "tool_choice": "required"}
    handler = LlamaDebugHandler(print_trace_on_end=False)
    llm.callback_manager = CallbackManager([handler])
    answers = [
        llm.structured_predict(Larger, prompt, llm_kwargs=given),
        await llm.astructured_predict(Larger, prompt, llm_kwargs=given),
        list(llm.stream_structured_predict(Larger, prompt, llm_kwargs=given))[-1],
        [grown async for grown in await llm.astream_structured_predict(Larger, prompt, llm_kwargs=given)][-1],
    ]
    assert {type(answer) for answer in answers} == {Larger}
    assert given == {"max_tokens": 40, "tool_choice": "required"}
    ends = [end.payload["response"].message for _, end in handler.get_event_pairs(CBEventType.LLM)]
    assert [message.additional_kwargs["tool_calls"][0]["function"]["name"] for message in ends] == ["Larger"] * 4
    program = FunctionCallingProgram.from_defaults(
        Larger, QUESTION, llm=PlaygroundLLM(), tool_choice={"type": "function", "function": {"name": "Larger"}}
    )
    assert program() == Larger(value=88)


async def test_a_cut_structured_answer_is_a_validation_error() -> None:
    llm = PlaygroundLLM(max_tokens=2)
    with pytest.raises(ValidationError):
        llm.structured_predict(Larger, PromptTemplate(QUESTION))
    with pytest.raises(ValidationError):
        await llm.astructured_predict(Larger, PromptTemplate(QUESTION))


# -- what others see


async def test_each_call_is_one_event_with_the_reported_tokens() -> None:
    def refuse(text: str) -> list[Any]:
        raise AssertionError(f"{text!r} was counted, though the response reports its tokens")

    counter, debug = TokenCountingHandler(tokenizer=refuse), LlamaDebugHandler(print_trace_on_end=False)
    llm = PlaygroundLLM(callback_manager=CallbackManager([counter, debug]))
    answers = [await ask(llm, endpoint) for endpoint in CHATS + COMPLETIONS]
    assert len(counter.llm_token_counts) == len(debug.get_event_pairs(CBEventType.LLM)) == len(answers)
    assert counter.prompt_llm_token_count == sum(usage(answer)["prompt_tokens"] for answer in answers)
    assert counter.completion_llm_token_count == sum(usage(answer)["completion_tokens"] for answer in answers)
    assert counter.total_llm_token_count == sum(usage(answer)["total_tokens"] for answer in answers) > 0


def test_what_it_tells_about_itself() -> None:
    llm = PlaygroundLLM(SMALL, max_tokens=7, stop=["."])
    metadata = llm.metadata
    assert (metadata.model_name, metadata.context_window, metadata.num_output) == (SMALL, 256, 7)
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert PlaygroundLLM().metadata.num_output == 64
    assert PlaygroundLLM().model == LARGE
    assert llm.class_name() == "playground_llm"
    copied = PlaygroundLLM.from_dict(json.loads(json.dumps(llm.to_dict())))
    assert isinstance(copied, PlaygroundLLM)
    assert (copied.model, copied.max_tokens, copied.stop) == (SMALL, 7, ["."])


# -- errors


@pytest.mark.parametrize("endpoint", CHATS + COMPLETIONS)
async def test_a_message_that_is_too_long_is_an_error_to_recover_from(endpoint: str) -> None:
    with pytest.raises(ChatError, match="limit of 255 tokens") as caught:
        await ask(PlaygroundLLM(), endpoint, LONG)
    assert caught.value.code == "context_length_exceeded"
    assert recoverable(caught.value)


@pytest.mark.parametrize("endpoint", CHATS + COMPLETIONS)
async def test_arguments_that_do_not_exist_are_refused(endpoint: str) -> None:
    with pytest.raises(ChatError, match="Unknown parameter: 'tempreature'") as caught:
        await ask(PlaygroundLLM(), endpoint, tempreature=1)
    assert not recoverable(caught.value)


def test_a_stream_fails_at_its_first_chunk() -> None:
    stream = PlaygroundLLM().stream_chat([ChatMessage(LONG)])
    with pytest.raises(ChatError):
        next(stream)


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(UnknownModelError, match="no playground model is called 'gpt-9'; choose one of playground-small"):
        PlaygroundLLM("gpt-9")
    with pytest.raises(UnknownModelError, match="'gpt-9'"):
        PlaygroundLLM(model="gpt-9")
    with pytest.raises(UnknownModelError, match="'gpt-9'"):
        PlaygroundLLM().chat(ASKED, model="gpt-9")
    for options in ({"temperature": 2.1}, {"temperature": -1}, {"top_logprobs": 21}, {"top_logprobs": -1}, {"max_tokens": 0}):
        with pytest.raises(ValidationError, match=next(iter(options))):
            PlaygroundLLM(**options)  # type: ignore[arg-type]
    with pytest.raises(ChatError, match="from 0 to 20"):
        PlaygroundLLM().chat(ASKED, logprobs=True, top_logprobs=21)


# -- retrieval


@pytest.fixture(scope="module")
def ledger() -> Any:
    return rag.index()


def test_the_search_finds_each_note(ledger: Any) -> None:
    retriever = ledger.as_retriever(similarity_top_k=1)
    found = [retriever.retrieve(note.question)[0].text for note in rag.NOTES]
    assert found == [note.text for note in rag.NOTES]


async def test_dearer_models_answer_more_of_the_ledger(ledger: Any) -> None:
    right = {}
    for name in MODEL_NAMES:
        engine = rag.query_engine(PlaygroundLLM(name), ledger)
        right[name] = sum(str(engine.query(note.question)) == note.answer for note in rag.NOTES)
    assert right[SMALL] + 5 < right[MEDIUM] < right[LARGE] - 5
    assert right[LARGE] == len(rag.NOTES)
    note = rag.NOTES[0]
    engine = rag.query_engine(PlaygroundLLM(), ledger, streaming=True)
    assert str(engine.query(note.question)) == str(await engine.aquery(note.question)) == note.answer
