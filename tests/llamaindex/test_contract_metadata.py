"""What several models say of themselves as one, what LlamaIndex packs for it, and whose prompt settings hold."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata, MessageRole
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.prompts import PromptTemplate
from llama_index.core.response_synthesizers import CompactAndRefine, TreeSummarize
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from li import HOWS, Fake, accepting, ask, decision, escalating, frugal, large, listening, reasons, small
from llamaindex_frugal import ConfigurationError, FrugalLLM, FrugalTierSkippedEvent, FrugalWarning

each_way = pytest.mark.parametrize("how", HOWS)
LONG = "word " * 5000


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Described(Fake):
    """A model whose metadata a test writes itself, and whose readings it counts."""

    about: Any = None
    seen: list[str] = []

    @property
    def metadata(self) -> LLMMetadata:
        self.seen.append("metadata")
        return LLMMetadata(model_name=self.model, is_chat_model=True, is_function_calling_model=True, **(self.about or {}))


# --- the common metadata ---


@pytest.mark.parametrize(("choice", "window"), [("min", 4000), ("max", 128_000)])
def test_the_context_window_is_that_of_the_smallest_model_or_of_the_largest(choice: str, window: int) -> None:
    llm = frugal(small(window=4000), large(window=128_000), context_window=choice)
    assert llm.metadata.context_window == window
    turned = frugal(small(window=128_000), large(window=4000), context_window=choice)
    assert turned.metadata.context_window == window


def test_the_smallest_context_window_is_the_default() -> None:
    assert frugal(small(window=4000), large(window=128_000)).metadata.context_window == 4000


@pytest.mark.parametrize("bad", ["mean", 4000, None])
def test_another_word_for_the_context_window_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'context_window=.* must be "min" .* or "max"'):
        frugal(small(), large(), context_window=bad)


def test_room_is_left_for_the_longest_output() -> None:
    models = [Described(model="small", about={"num_output": 64}), Described(model="large", about={"num_output": 512})]
    assert frugal(*models).metadata.num_output == frugal(*models, context_window="max").metadata.num_output == 512


@pytest.mark.parametrize("flags", [(True, False), (False, True), (True, True), (False, False)])
def test_the_whole_chats_and_calls_tools_if_any_model_does(flags: tuple[bool, bool]) -> None:
    first, last = flags
    assert frugal(small(chats=first), large(chats=last)).metadata.is_chat_model is any(flags)
    assert frugal(small(tools=first), large(tools=last)).metadata.is_function_calling_model is any(flags)


def test_the_name_tells_all_models_and_the_role_of_system_prompts_is_the_firsts() -> None:
    roles = [{"system_role": MessageRole.DEVELOPER}, {"system_role": MessageRole.SYSTEM}]
    metadata = frugal(
        *(Described(model=name, about=role) for name, role in zip(("small", "large"), roles, strict=True))
    ).metadata
    assert metadata.model_name == "small > large"
    assert metadata.system_role == MessageRole.DEVELOPER


@each_way
async def test_no_models_metadata_is_read_for_a_query(how: str) -> None:
    """Some integrations look the model up at every reading."""
    models: list[Any] = [Described(model="small", sure=0.1, seen=[]), Described(model="large", seen=[])]
    for model in models:
        model.seen = []  # pydantic copies what it is given
    llm = FrugalLLM(models, threshold=0.5, prices={"small": (1, 1), "large": (2, 2)})
    before = [len(model.seen) for model in models]
    assert all(before)
    for _ in range(3):
        await ask(llm, how)
    # core itself reads it once for every event of a call, in `to_payload`
    read = [len(model.seen) - many for model, many in zip(models, before, strict=True)]
    assert read == [3, 3]
    for _ in range(3):
        assert llm.metadata.context_window == 3900
    assert [len(model.seen) - many for model, many in zip(models, before, strict=True)] == read


def test_the_metadata_follows_the_models() -> None:
    llm = frugal(small(window=4000), large(window=128_000))
    llm.context_window = "max"
    assert llm.metadata.context_window == 128_000
    llm.models = [small(window=8000), large(window=16_000)]
    assert llm.metadata.context_window == 16_000
    assert llm.model_copy(update={"context_window": "min"}).metadata.context_window == 8000
    assert llm.metadata.context_window == 16_000


# --- models that cannot take a query ---


@each_way
async def test_a_model_whose_window_is_too_small_is_not_asked(how: str) -> None:
    first, last = small(window=4000), large(window=128_000)
    llm = frugal(first, last, context_window="max")
    with listening() as events:
        response = await ask(llm, how, LONG)
    assert reasons(response) == [("small", "too_long"), ("large", "last_tier")]
    assert (len(first.log), len(last.log)) == (0, 1)
    skipped = [event for event in events if isinstance(event, FrugalTierSkippedEvent)]
    assert [(event.tier, event.reason) for event in skipped] == [("small", "too_long")]
    assert reasons(await ask(llm, how)) == [("small", "confident")]


@each_way
async def test_the_window_that_llamaindex_assumes_where_nobody_says_is_no_limit(how: str) -> None:
    llm, first, _ = accepting()
    assert llm.metadata.context_window == 3900
    assert reasons(await ask(llm, how, LONG)) == [("small", "confident")]
    assert len(first.log) == 1


class Sized(Fake):
    """A model with its window as a field, as many integrations have it."""

    context_window: int = 3900

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_chat_model=True, context_window=self.context_window)


@each_way
@pytest.mark.parametrize(("given", "first"), [({}, "confident"), ({"context_window": 3900}, "too_long")])
async def test_a_window_that_is_a_field_is_a_limit_once_the_user_sets_it(how: str, given: Any, first: str) -> None:
    response = await ask(frugal(Sized(model="small", **given), large(), context_window="max"), how, LONG)
    assert reasons(response)[0] == ("small", first)


@each_way
async def test_models_without_tools_are_passed_over_when_tools_are_on_offer(how: str) -> None:
    if "complete" in how:
        pytest.skip("tools are offered in a chat")
    first, last = small(tools=False), large()
    llm, tools = frugal(first, last), [FunctionTool.from_defaults(add)]
    response = await ask(llm, how, tools=tools)
    assert reasons(response) == [("small", "no_tools"), ("large", "last_tier")]
    assert len(first.log) == 0
    assert reasons(await ask(llm, how)) == [("small", "confident")]


def test_where_no_model_takes_tools_that_is_said() -> None:
    with pytest.raises(NotImplementedError, match="None of the models can do tools: small > large"):
        frugal(small(tools=False), large(tools=False)).chat_with_tools([FunctionTool.from_defaults(add)], "hi")


@pytest.mark.parametrize(("choice", "calls"), [("min", 4), ("max", 1)])
@pytest.mark.parametrize("synthesizer", [CompactAndRefine, TreeSummarize])
def test_llamaindex_packs_prompts_for_the_window_that_was_chosen(choice: str, calls: int, synthesizer: Any) -> None:
    """Twelve chunks of nine hundred tokens: four prompts of 4k, or one of 128k that the small model is spared."""
    first, last = small("fine", window=4096), large("fine", window=128_000)
    llm = frugal(first, last, context_window=choice)
    chunks = [NodeWithScore(node=TextNode(text=f"chunk {number} " + "word " * 900)) for number in range(12)]
    if synthesizer is TreeSummarize:
        calls = {4: 5, 1: 1}[calls]  # a summary of the four
    synthesizer(llm=llm).synthesize("What is in it?", chunks)
    served = first if choice == "min" else last
    assert (len(first.log), len(last.log)) == ((calls, 0) if choice == "min" else (0, calls))
    assert sum("chunk 11 " in str(call.messages) for call in served.log.calls) == 1


# --- prompt settings ---


def shout(messages: Any) -> str:
    return "SHOUT " + " ".join(message.content for message in messages)


def dress(prompt: str) -> str:
    return f"<<{prompt}>>"


class Number(BaseModel):
    """A number."""

    value: int


PARSER = PydanticOutputParser(Number)
SETTINGS = [
    ("system_prompt", "Be brief."),
    ("messages_to_prompt", shout),
    ("completion_to_prompt", dress),
    ("output_parser", PARSER),
    ("query_wrapper_prompt", PromptTemplate("Q: {query_str}")),
]
each_setting = pytest.mark.parametrize(("name", "value"), SETTINGS, ids=[name for name, _ in SETTINGS])


@each_setting
def test_a_prompt_setting_comes_from_the_first_model_and_a_differing_one_is_told_of(name: str, value: Any) -> None:
    with pytest.warns(FrugalWarning, match=rf"^{name} of Fake differs: the first model's is used") as warned:
        llm = frugal(small(**{name: value}), large())
    assert len(warned) == 1
    assert warned[0].filename.endswith("li.py"), "the line that made the wrapper"
    assert getattr(llm, name) == value


@each_setting
def test_one_that_all_models_share_is_told_of_by_nobody(name: str, value: Any) -> None:
    assert getattr(frugal(small(**{name: value}), large(**{name: value})), name) == value


@each_setting
def test_the_wrappers_own_goes_first_and_the_question_which_is_settled(name: str, value: Any) -> None:
    llm = frugal(small(), large(), **{name: value})
    assert getattr(llm, name) == value


def test_the_warning_names_the_classes_that_differ() -> None:
    with pytest.warns(FrugalWarning, match=r"system_prompt of Described, Fake differs"):
        frugal(small(system_prompt="One."), Described(model="mid"), large(system_prompt="Two."))


@pytest.mark.parametrize("how", ["predict", "apredict"])
async def test_the_wrappers_system_prompt_reaches_every_model_once(how: str) -> None:
    llm, first, last = escalating(system_prompt="Be brief.")
    template = PromptTemplate("Say {what}.")
    assert (
        llm.predict(template, what="hi") if how == "predict" else await llm.apredict(template, what="hi")
    ) == "the large answer"
    for model in (first, last):
        assert [(message.role.value, message.content) for message in model.log.calls[0].messages] == [
            ("system", "Be brief."),
            ("user", "Say hi."),
        ]


def test_a_history_is_cleaned_for_each_model_and_left_alone_itself() -> None:
    from llama_index.core.base.llms.types import TextBlock, ThinkingBlock

    thought = ThinkingBlock(content="Hm.", additional_information={"signature": "x"})
    history = [ChatMessage("hi"), ChatMessage(role="assistant", blocks=[thought, TextBlock(text="Two.")]), ChatMessage("And?")]
    llm, first, last = escalating()
    assert decision(llm.chat(history))["tier"] == "large"
    for model in (first, last):
        assert [block.block_type for block in model.log.calls[0].messages[1].blocks] == ["text"]
    assert [block.block_type for block in history[1].blocks] == ["thinking", "text"]
