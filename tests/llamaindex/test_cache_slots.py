"""Of a filled-in template only `query_str` is matched by likeness; documents, history and instructions must agree exactly."""

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate, RichPromptTemplate, SelectorPromptTemplate
from llama_index.core.prompts.chat_prompts import CHAT_TEXT_QA_PROMPT
from llama_index.core.prompts.default_prompts import DEFAULT_TEXT_QA_PROMPT
from llama_index.core.response_synthesizers import CompactAndRefine
from llama_index.core.schema import NodeWithScore, TextNode

import caching
from li import Fake, accepting, decision, frugal, large, listening, small
from llamaindex_frugal import FrugalDecisionEvent

ASKED, ALIKE = "what is the capital of france", "what is the capital of the france"
CONTEXT = "France is a country whose capital lies at the Seine. " * 12
TEMPLATES = {
    "text": DEFAULT_TEXT_QA_PROMPT,
    "chat": CHAT_TEXT_QA_PROMPT,
    "rich": RichPromptTemplate(
        "{% chat role='system' %}{{ context_str }}{% endchat %}{% chat role='user' %}{{ query_str }}{% endchat %}"
    ),
    "selector": SelectorPromptTemplate(DEFAULT_TEXT_QA_PROMPT, [(lambda llm: llm.metadata.is_chat_model, CHAT_TEXT_QA_PROMPT)]),
    "mapped": PromptTemplate("{docs}: {question}", template_var_mappings={"context_str": "docs", "query_str": "question"}),
    "partial": PromptTemplate("{context_str} {query_str} {style}").partial_format(style="briefly"),
}
WAYS = ("predict", "apredict", "stream", "astream")
each_way = pytest.mark.parametrize("way", WAYS)


async def predict(llm, way, prompt, **slots):
    """The text, and the decision that was told."""
    with listening() as heard:
        reply = getattr(llm, way)(prompt, **slots)
        if way == "apredict":
            reply = await reply
        elif way == "stream":
            reply = "".join(reply)
        elif way == "astream":
            reply = "".join([token async for token in await reply])
    return reply, [event.decision for event in heard if isinstance(event, FrugalDecisionEvent)][-1]


async def outcomes(llm, way, prompt, *slots):
    return [(await predict(llm, way, prompt, **each))[1]["cache"] for each in slots]


@each_way
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("chats", [True, False])
async def test_the_question_is_matched_by_likeness_and_the_context_exactly(way, template, chats):
    llm = frugal(small(chats=chats), large(chats=chats), cache=caching.cache())
    told = await outcomes(
        llm,
        way,
        TEMPLATES[template],
        {"context_str": CONTEXT, "query_str": ASKED},
        {"context_str": CONTEXT, "query_str": ALIKE},
        {"context_str": CONTEXT + "It moved.", "query_str": ASKED},
        {"context_str": CONTEXT + "It moved.", "query_str": ALIKE},
        {"context_str": CONTEXT, "query_str": "how many people live there"},
    )
    assert told == ["miss", "hit", "miss", "hit", "miss"]


@each_way
async def test_unrelated_questions_over_the_same_long_context_do_not_hit(way):
    """As whole prompts they are nearly the same."""
    whole = DEFAULT_TEXT_QA_PROMPT.format(context_str=CONTEXT, query_str="{}")
    words = caching.Words()
    one, other = words.vector(whole.format(ASKED)), words.vector(whole.format("who won the cup"))
    assert one @ other / (one @ one) ** 0.5 / (other @ other) ** 0.5 > 0.95
    llm, _first, _ = accepting(cache=caching.cache())
    slots = [{"context_str": CONTEXT, "query_str": each} for each in (ASKED, "who won the cup")]
    assert await outcomes(llm, way, DEFAULT_TEXT_QA_PROMPT, *slots) == ["miss", "miss"]


@each_way
async def test_a_template_without_a_question_is_matched_exactly(way):
    llm, _first, _ = accepting(cache=caching.cache())
    prompt = PromptTemplate("Translate: {text}")
    assert await outcomes(llm, way, prompt, {"text": ASKED}, {"text": ALIKE}, {"text": ASKED}) == ["miss", "miss", "hit"]


async def test_a_template_whose_examples_depend_on_the_question_is_matched_exactly():
    llm, _, _ = accepting(cache=caching.cache())
    prompt = PromptTemplate(
        "{examples} {query_str}", function_mappings={"examples": lambda **slots: slots["query_str"].split()[-1]}
    )
    told = await outcomes(llm, "predict", prompt, {"query_str": ASKED}, {"query_str": ALIKE}, {"query_str": ASKED})
    assert told == ["miss", "miss", "hit"]


async def test_a_question_that_the_template_does_not_show_answers_nothing():
    llm, _, _ = accepting(cache=caching.cache())
    prompt = PromptTemplate("Summarize: {context_str}")
    told = await outcomes(
        llm, "predict", prompt, {"context_str": "a", "query_str": ASKED}, {"context_str": "b", "query_str": ASKED}
    )
    assert told == ["miss", "miss"]


async def test_two_templates_share_nothing():
    llm, _, _ = accepting(cache=caching.cache())
    first = await outcomes(llm, "predict", PromptTemplate("Briefly: {query_str}"), {"query_str": ASKED})
    second = await outcomes(llm, "predict", PromptTemplate("At length: {query_str}"), {"query_str": ASKED})
    assert first == second == ["miss"]


async def test_earlier_turns_in_a_template_count():
    llm, _, _ = accepting(cache=caching.cache())
    turns = [ChatMessage("hi"), ChatMessage("hello", role="assistant")]
    prompt = ChatPromptTemplate([*turns, ChatMessage("{query_str}")])
    told = await outcomes(llm, "predict", prompt, {"query_str": ASKED}, {"query_str": ALIKE}, {"query_str": ASKED})
    assert told == ["miss", "miss", "hit"]


def test_a_synthesizer_asks_no_model_for_a_question_like_one_it_had():
    llm, first, _ = accepting(cache=caching.cache())
    nodes = [NodeWithScore(node=TextNode(text=CONTEXT))]
    synthesizer = CompactAndRefine(llm)
    answers = [str(synthesizer.synthesize(each, nodes)) for each in (ASKED, ALIKE)]
    assert answers == ["the small answer"] * 2
    assert len(first.log) == 1


HOWS = ("chat", "achat", "stream_chat", "astream_chat")


async def converse(engine, how, text):
    reply = getattr(engine, how)(text)
    if how.startswith("a"):
        reply = await reply
    if how == "stream_chat":
        return "".join(reply.response_gen)
    if how == "astream_chat":
        return "".join([token async for token in reply.async_response_gen()])
    return reply.response


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", ["simple", "context"])
async def test_a_chat_engine_remembers_whole_answers_from_the_cache(how, kind):
    model = Fake(model="small", reply=lambda messages: f"heard {len(messages)} turns")
    llm = frugal(model, large(), cache=caching.cache())

    class Retriever:
        def retrieve(self, query):
            return [NodeWithScore(node=TextNode(text=CONTEXT))]

        async def aretrieve(self, query):
            return self.retrieve(query)

    def engine():
        memory = ChatMemoryBuffer.from_defaults(token_limit=2000)
        if kind == "simple":
            return SimpleChatEngine.from_defaults(llm=llm, memory=memory)
        return ContextChatEngine.from_defaults(retriever=Retriever(), llm=llm, memory=memory)

    first, second = engine(), engine()
    said = [await converse(first, how, ASKED), await converse(second, how, ALIKE)]
    assert said[0] == said[1]
    assert len(model.log) == 1
    await converse(first, how, "and now")
    assert len(model.log) == 2
    assert await converse(second, how, "and now") != said[0]
    assert [message.content for message in first.chat_history[:2]] == [ASKED, said[0]]
    assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == ("hit" if kind == "simple" else "miss")
