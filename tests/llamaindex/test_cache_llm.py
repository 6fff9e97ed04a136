"""The cache in front of `FrugalLLM`: every way of calling asks it first, and keeps what may be kept."""

import asyncio
import contextvars
import copy
import pickle
import threading
from dataclasses import replace

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager
from llama_index.llms.openai import OpenAI

import caching
from frugal_core.cache import SemanticCache, cache_options
from li import (
    HOWS,
    Fake,
    accepting,
    ask,
    counting,
    decision,
    escalating,
    frugal,
    large,
    listening,
    small,
    stream,
)
from llamaindex_frugal import CachedLLM, ConfigurationError, FrugalDecisionEvent, FrugalLLM
from llamaindex_frugal._cached import temperature_of
from llamaindex_frugal._identity import LLMIdentity, llm_settings

each_how = pytest.mark.parametrize("how", HOWS)
STREAMS = [how for how in HOWS if "stream" in how]
each_stream = pytest.mark.parametrize("how", STREAMS)
ASKED, ALIKE, OTHER = "what is the capital of france", "what is the capital of the france", "who won"


def text(piece):
    return piece.message.content if hasattr(piece, "message") else piece.text


# --- hits and misses ---


@each_how
async def test_same_and_alike_questions_hit_and_others_do_not(how):
    llm, first, _ = accepting(cache=caching.cache())
    missed = await ask(llm, how, ASKED)
    same, alike, other = [await ask(llm, how, each) for each in (ASKED, ALIKE, OTHER)]
    assert [decision(each)["cache"] for each in (missed, same, alike, other)] == ["miss", "hit", "hit", "miss"]
    assert len(first.log) == 2
    assert text(same) == text(alike) == text(missed) == "the small answer"
    told = decision(alike)
    assert 0.9 < told["similarity"] < 1
    assert decision(same)["similarity"] == 1
    assert told["cache_key"] == decision(missed)["cache_key"]
    assert told["cost_usd"] == 0
    assert told["saved_usd"] == decision(missed)["baseline_cost_usd"] > 0
    assert told["cache_age_s"] >= 0
    assert told["tier"] is None


async def test_all_ways_of_calling_share_their_answers():
    llm, first, _ = accepting(cache=caching.cache())
    for how in HOWS:
        await ask(llm, how, ASKED)
    assert len(first.log) == 1


async def test_text_models_do_not_share_between_chat_and_prompts():
    llm = frugal(small(chats=False), large(chats=False), cache=caching.cache())
    assert [decision(await ask(llm, how, ASKED))["cache"] for how in ("chat", "complete", "complete")] == [
        "miss",
        "miss",
        "hit",
    ]


@each_stream
async def test_hits_are_streams_whose_pieces_are_the_answer(how):
    llm, _, _ = accepting(cache=caching.cache())
    before = await ask(llm, how, ASKED)
    pieces = await stream(llm, how, ASKED)
    assert len(pieces) == 3
    assert "".join(piece.delta for piece in pieces) == text(pieces[-1]) == text(before)
    assert [text(piece) for piece in pieces] == ["the ", "the small ", "the small answer"]
    assert decision(pieces[-1])["cache"] == "hit"
    assert all("frugal" not in piece.additional_kwargs for piece in pieces[:-1])


async def test_an_escalated_answer_is_kept_with_what_the_reference_would_have_cost():
    llm, first, last = escalating(cache=caching.cache())
    missed = await ask(llm, "chat", ASKED)
    hit = await ask(llm, "achat", ASKED)
    assert text(hit) == "the large answer"
    assert decision(hit)["saved_usd"] == decision(missed)["baseline_cost_usd"]
    assert (len(first.log), len(last.log)) == (1, 1)


def test_a_url_is_as_good_as_a_cache_and_other_things_are_refused():
    llm = frugal(small(), large(), cache="memory://")
    assert type(llm._runner.cache) is SemanticCache
    assert llm.model_copy()._runner.cache is llm._runner.cache
    with pytest.raises(ConfigurationError, match="is no cache"):
        frugal(small(), large(), cache=object())


# --- what must agree exactly ---


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [ChatMessage("Be brief.", role="system"), ChatMessage(ALIKE)]},
        {"messages": [ChatMessage("hi"), ChatMessage("hello", role="assistant"), ChatMessage(ALIKE)]},
        {"messages": [ChatMessage(ALIKE, additional_kwargs={"name": "Ann"})]},
        {"messages": [ChatMessage(blocks=[TextBlock(text=ASKED), ImageBlock(image=b"\x89PNG")])]},
        {"stop": ["\n"]},
        {"temperature": 0.0},
    ],
    ids=str,
)
def test_all_but_the_words_must_agree(change):
    llm, first, _ = accepting(cache=caching.cache())
    llm.chat([ChatMessage(ASKED)])
    arguments = {"messages": [ChatMessage(ALIKE)], **change}
    assert decision(llm.chat(**arguments))["cache"] == "miss"
    assert decision(llm.chat(**arguments))["cache"] == "hit"
    assert len(first.log) == 2


def test_where_a_system_message_stands_matters():
    llm, first, _ = accepting(cache=caching.cache())
    system, user = ChatMessage("Be brief.", role="system"), ChatMessage(ASKED)
    llm.chat([system, user])
    assert decision(llm.chat([user, system]))["cache"] == "miss"
    assert len(first.log) == 2


def test_which_call_a_result_belongs_to_matters_and_its_id_does_not():
    def history(ids, order):
        calls = [ToolCallBlock(tool_call_id=id, tool_name="add", tool_kwargs={"a": n}) for n, id in enumerate(ids)]
        results = [
            ChatMessage(f"result {n}", role="tool", additional_kwargs={"tool_call_id": ids[place]})
            for n, place in enumerate(order)
        ]
        return [ChatMessage(ASKED), ChatMessage(role="assistant", blocks=calls), *results]

    llm, _first, _ = accepting(cache=caching.cache())
    told = [decision(llm.chat(history(*each)))["cache"] for each in [("ab", (0, 1)), ("xy", (0, 1)), ("ab", (1, 0))]]
    assert told == ["miss", "hit", "miss"]


def test_a_models_settings_are_part_of_the_key_but_its_secrets_are_not():
    cache, first = caching.cache(), small()
    llm = frugal(first, large(), cache=cache)
    llm.chat([ChatMessage(ASKED)])
    llm._runner.tiers[0].llm.max_tokens = 7
    assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == "miss"
    llm._runner.tiers[0].llm.max_tokens = None
    assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == "hit"
    assert decision(frugal(small(), large(), threshold=0.7, cache=cache).chat([ChatMessage(ASKED)]))["cache"] == "miss"
    assert decision(frugal(small(), large(), cache=cache).chat([ChatMessage(ASKED)]))["cache"] == "hit"


def test_openai_keys_do_not_change_the_key_and_settings_do():
    def identity(**settings):
        return LLMIdentity(OpenAI(**{"model": "gpt-4o-mini", "api_key": "sk-secret", **settings}))()

    assert identity() == identity(api_key="sk-other") == identity(timeout=3.0)
    assert "sk-secret" not in str(llm_settings(OpenAI(model="gpt-4o-mini", api_key="sk-secret")))
    told = [identity(), identity(model="gpt-4o"), identity(temperature=0.9), identity(additional_kwargs={"seed": 1})]
    assert len(set(told)) == 4


def test_settings_that_are_written_into_are_noticed():
    model = OpenAI(model="gpt-4o-mini", api_key="sk-secret")
    identity = LLMIdentity(model)
    before = identity()
    model.additional_kwargs["seed"] = 1
    assert identity() != before


def test_arguments_that_cannot_be_told_apart_leave_the_cache_out():
    llm, first, _ = accepting(cache=caching.cache())
    for _ in range(2):
        told = decision(llm.chat([ChatMessage(ASKED)], criteria=lambda token: True))
        assert told["cache"] == "off"
    assert len(first.log) == 2


def test_long_prompts_and_long_conversations_are_matched_exactly():
    llm, first, _ = accepting(cache=caching.cache())
    context = "Context information is below. " * 20
    for asked in (f"{context}{ASKED}", f"{context}{ALIKE}", f"{context}{ASKED}"):
        llm.complete(asked)
    assert len(first.log) == 2
    turns = [ChatMessage("hi"), ChatMessage("hello", role="assistant")]
    llm.chat([*turns, ChatMessage(ASKED)])
    assert decision(llm.chat([*turns, ChatMessage(ALIKE)]))["cache"] == "miss"
    assert decision(llm.chat([*turns, ChatMessage(ALIKE)]))["cache"] == "hit"


# --- options ---


async def test_no_cache_and_refresh_never_reach_the_models():
    llm, first, _ = accepting(cache=caching.cache())
    for how in HOWS:
        await ask(llm, how, ASKED)
        before = len(first.log)
        assert decision(await ask(llm, how, ASKED, no_cache=True))["cache"] == "off"
        assert decision(await ask(llm, how, ASKED, refresh=True))["cache"] == "miss"
        assert len(first.log) == before + 2
    assert not any({"no_cache", "refresh"} & call.kwargs.keys() for call in first.log.calls)
    plain, only, _ = accepting()
    plain.chat([ChatMessage("hi")], no_cache=True)
    assert "no_cache" not in only.log.calls[0].kwargs


async def test_tenants_share_nothing():
    llm, _first, _ = accepting(cache=caching.cache())
    for how in HOWS:
        with cache_options(namespace="a"):
            await ask(llm, how, ASKED)
        with cache_options(namespace=how):
            assert decision(await ask(llm, how, ALIKE))["cache"] == "miss"
        with cache_options(namespace="a"):
            assert decision(await ask(llm, how, ALIKE))["cache"] == "hit"


def test_a_stream_belongs_to_who_asked_for_it_not_to_who_reads_it():
    llm, _first, _ = accepting(cache=caching.cache())
    with cache_options(namespace="a"):
        pieces = llm.stream_chat([ChatMessage(ASKED)])
    reader = threading.Thread(target=lambda: list(pieces))
    reader.start()
    reader.join()
    with cache_options(namespace="a"):
        assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == "hit"
    assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == "miss"


@each_stream
async def test_whose_a_stream_is_was_said_when_it_was_asked_for(how):
    tenant = contextvars.ContextVar("tenant")
    llm, _, _ = accepting(cache=caching.cache(namespace=tenant.get))
    given = ASKED if "complete" in how else [ChatMessage(ASKED)]
    tenant.set("a")
    pieces = getattr(llm, how)(given)
    pieces = await pieces if how.startswith("a") else pieces
    tenant.set("b")
    _ = [piece async for piece in pieces] if how.startswith("a") else list(pieces)
    assert decision(llm.complete(ASKED))["cache"] == "miss"
    tenant.set("a")
    assert decision(llm.complete(ASKED))["cache"] == "hit"


async def test_entries_can_be_invalidated_by_key_and_tag():
    cache = caching.cache()
    llm, _first, _ = accepting(cache=cache)
    key = decision(await ask(llm, "chat", ASKED))["cache_key"]
    assert cache.invalidate(key=key) == 1
    with cache_options(tags=("prices",)):
        await ask(llm, "chat", ASKED)
    assert cache.invalidate(tag="prices") == 1
    assert decision(await ask(llm, "chat", ASKED))["cache"] == "miss"


# --- what is not kept ---


@pytest.mark.parametrize(
    ("reply", "settings", "reason"),
    [
        ("I'm sorry, but I can't help with that.", {}, "refusal"),
        ("the small answer", {"temperature": 0.7}, "sampled"),
    ],
)
async def test_what_should_not_be_served_again_is_not_kept(reply, settings, reason):
    for how in HOWS:
        cache = caching.cache()
        llm = frugal(small(reply, **settings), large(reply, **settings), cache=cache)
        for _ in range(2):
            assert decision(await ask(llm, how, ASKED))["cache"] == "miss"
        assert cache.stats().kept_out == {reason: 2}, how


def test_a_default_temperature_is_nobodys_wish():
    def openai(**settings):
        return OpenAI(**{"model": "gpt-4o-mini", "api_key": "sk", **settings})

    assert temperature_of(openai(), {}) is None
    assert temperature_of(openai(temperature=0.9), {}) == 0.9
    assert temperature_of(openai(), {"temperature": 1.0}) == 1.0
    assert temperature_of(openai(model="o3-mini"), {}) is None


@each_stream
async def test_a_stream_that_was_cut_off_is_not_kept(how):
    """Providers tell the reason before the last piece, which counts tokens."""

    class Cut(Fake):
        def _pieces(self, response):
            pieces = list(super()._pieces(response))
            pieces[-1].raw["choices"] = [{"finish_reason": "length", "delta": {}}]
            yield from pieces
            yield pieces[-1].model_copy(update={"delta": "", "raw": {"choices": [], "usage": response.raw["usage"]}})

    cache = caching.cache()
    llm = FrugalLLM([Cut()], cache=cache, prices={"small": (1, 1)})
    await ask(llm, how, ASKED)
    assert cache.stats().stored == 0
    assert cache.stats().kept_out == {"truncated": 1}


# --- every question is settled or let go ---


@each_how
async def test_after_a_failure_the_next_one_asks_at_once(how):
    cache = caching.cache()
    llm = frugal(small(ValueError("broken")), large(ValueError("broken")), cache=cache)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await ask(llm, how, ASKED)
    assert not cache._flights._flying
    assert cache.stats().stored == 0


@each_stream
async def test_a_stream_that_is_closed_is_not_kept_and_holds_nobody_up(how):
    cache = caching.cache()
    llm = frugal(large(), cache=cache)
    given = ASKED if "complete" in how else [ChatMessage(ASKED)]
    if how.startswith("a"):
        pieces = await getattr(llm, how)(given)
        assert (await anext(pieces)).delta == "the"
        assert cache._flights._flying
        await pieces.aclose()
    else:
        pieces = getattr(llm, how)(given)
        assert next(pieces).delta == "the"
        assert cache._flights._flying
        pieces.close()
    assert not cache._flights._flying
    assert cache.stats().stored == 0


async def test_a_cancelled_call_holds_nobody_up():
    begun = asyncio.Event()

    class Slow(Fake):
        async def achat(self, messages, **kwargs):
            begun.set()
            await asyncio.Event().wait()

    cache = caching.cache()
    task = asyncio.create_task(frugal(Slow(), cache=cache).achat([ChatMessage(ASKED)]))
    await begun.wait()
    assert cache._flights._flying
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not cache._flights._flying


async def test_who_asks_the_same_at_the_same_time_waits():
    go = asyncio.Event()

    class Slow(Fake):
        async def achat(self, messages, **kwargs):
            await go.wait()
            return await super().achat(messages, **kwargs)

    slow = Slow()
    llm = frugal(slow, cache=caching.cache())
    tasks = [asyncio.create_task(llm.achat([ChatMessage(ASKED)])) for _ in range(5)]
    await asyncio.sleep(0)
    go.set()
    answers = await asyncio.gather(*tasks)
    assert len(slow.log) == 1
    assert sorted(decision(each)["cache"] for each in answers) == ["hit"] * 4 + ["miss"]


def test_a_thread_that_reads_two_streams_in_turn_does_not_wait_for_itself():
    llm = frugal(large(), cache=caching.cache())
    one, other = llm.stream_chat([ChatMessage(ASKED)]), llm.stream_chat([ChatMessage(ASKED)])
    assert [(a.delta, b.delta) for a, b in zip(one, other, strict=True)][:2] == [("the", "the"), (" large", " large")]


async def test_nor_does_a_task():
    model = large()
    llm = frugal(model, cache=caching.cache())
    one = await llm.astream_chat([ChatMessage(ASKED)])
    await anext(one)
    assert decision(await llm.achat([ChatMessage(ASKED)]))["cache"] == "miss"
    await one.aclose()
    assert len(model.log) == 2


# --- fresh copies, and what is told ---


async def test_nobody_shares_an_object_with_the_cache():
    llm, _, _ = accepting(cache=caching.cache())
    for how in HOWS:
        answer = await ask(llm, how, ASKED)
        if hasattr(answer, "message"):
            answer.message.content = "spoilt"
            answer.message.additional_kwargs["spoilt"] = True
        answer.additional_kwargs["spoilt"] = True
        again = await ask(llm, how, ASKED)
        assert text(again) == "the small answer"
        assert "spoilt" not in again.additional_kwargs
        assert not hasattr(again, "message") or again.message.additional_kwargs == {}


@each_how
async def test_hits_count_no_tokens_and_tell_one_decision(how):
    manager, counter = counting()
    llm, _, _ = accepting(cache=caching.cache(), callback_manager=manager)
    await ask(llm, how, ASKED)
    before = counter.total_llm_token_count
    assert before > 0
    with listening() as heard:
        answer = await ask(llm, how, ASKED)
    assert counter.total_llm_token_count == before
    assert answer.raw["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    names = [type(event).__name__ for event in heard]
    assert names == ["FrugalDecisionEvent"]
    assert heard[0].decision == decision(answer)


def test_a_providers_counts_are_not_told_again_and_all_else_is():
    said = ChatResponse(message=ChatMessage("words", role="assistant"))
    said.additional_kwargs = {"prompt_tokens": 5, "citations": ["a"], "odd": object()}
    llm = CachedLLM(large(said), caching.cache())
    llm.chat([ChatMessage(ASKED)])
    again = llm.chat([ChatMessage(ASKED)])
    assert set(again.additional_kwargs) == {"citations", "frugal"}


async def test_hits_wait_for_no_rate_limit():
    class Turnstile:
        passed = 0

        def acquire(self):
            self.passed += 1

        async def async_acquire(self):
            self.acquire()

    turnstile = Turnstile()
    llm, _, _ = accepting(cache=caching.cache(), rate_limiter=turnstile)
    for how in HOWS:
        await ask(llm, how, ASKED)
    assert turnstile.passed == 1


def test_a_stored_answer_that_cannot_be_read_is_asked_for_anew():
    cache = caching.cache()
    llm, first, _ = accepting(cache=cache)
    llm.chat([ChatMessage(ASKED)])
    (entry,) = cache.store.scan()
    cache.store.put(replace(entry, payload='{"tier": null, "message": 1}'))
    assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == "miss"
    assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == "hit"
    assert len(first.log) == 2


# --- copies, other processes, warm-up ---


@pytest.mark.parametrize("way", ["deepcopy", "model_copy", "deep"])
def test_copies_share_the_cache(way):
    llm, _first, _ = accepting(cache=caching.cache())
    llm.chat([ChatMessage(ASKED)])
    other = copy.deepcopy(llm) if way == "deepcopy" else llm.model_copy(deep=way == "deep")
    assert other._runner.cache is llm._runner.cache
    assert decision(other.chat([ChatMessage(ASKED)]))["cache"] == "hit"


def test_a_wrapper_with_a_url_can_be_pickled_and_one_with_a_cache_says_why_not():
    again = pickle.loads(pickle.dumps(frugal(small(), large(), cache="memory://")))
    assert type(again._runner.cache) is SemanticCache
    with pytest.raises(ConfigurationError, match="Give cache= the URL"):
        pickle.dumps(frugal(small(), large(), cache=caching.cache()))


def test_the_cache_can_be_set_and_taken_away_later_and_is_never_written_down():
    llm, _first, _ = accepting()
    llm.cache = caching.cache()
    llm.chat([ChatMessage(ASKED)])
    assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == "hit"
    assert "cache" not in llm.to_dict()
    llm.cache = None
    assert decision(llm.chat([ChatMessage(ASKED)]))["cache"] == "off"


def test_known_answers_are_served_before_anybody_asked(tmp_path):
    llm, first, _ = accepting(cache=caching.cache())
    assert llm.warm_cache([("What are your opening hours?", "9 to 5.")]) == 1
    told = llm.complete("what are your opening hours now?")
    assert (told.text, decision(told)["cache"]) == ("9 to 5.", "hit")
    path = tmp_path / "known.jsonl"
    path.write_text('{"question": "Where are you?", "answer": "Here."}\n\n')
    assert llm.warm_cache(path) == 1
    assert llm.chat([ChatMessage("Where are you?")]).message.content == "Here."
    assert len(first.log) == 0
    llm.warm_cache([([ChatMessage("Be brief.", role="system"), ChatMessage("Why?")], "So.")])
    assert llm.chat([ChatMessage("Be brief.", role="system"), ChatMessage("Why?")]).message.content == "So."
    assert len(first.log) == 0
    with pytest.raises(ConfigurationError, match="row 0: 'What' is no known answer"):
        llm.warm_cache(["What"])
    with pytest.raises(ConfigurationError, match="no semantic cache to warm"):
        accepting()[0].warm_cache([])


def test_known_answers_serve_text_models_too_and_are_embedded_in_one_call():
    words = caching.Words()
    llm = frugal(small(chats=False), large(chats=False), cache=caching.cache(embed=words))
    llm.warm_cache([("one two three", "1"), ("four five six", "2")])
    assert words.calls == [["one two three", "four five six"]]
    assert llm.complete("four five six").text == "2"


# --- one model ---


async def test_a_cached_llm_is_its_model_behind_a_cache():
    for how in HOWS:
        model = large()
        llm = CachedLLM(model, caching.cache())
        answers = [await ask(llm, how, each) for each in (ASKED, ALIKE)]
        assert [decision(each)["cache"] for each in answers] == ["miss", "hit"]
        assert len(model.log) == 1
        assert llm.metadata.model_name == model.metadata.model_name
        assert llm.metadata.context_window == model.metadata.context_window
    assert CachedLLM(large(tools=False), caching.cache()).metadata.is_function_calling_model is False
    copied = llm.model_copy(deep=True)
    assert type(copied) is CachedLLM
    assert CachedLLM.from_dict(llm.to_dict(), llm=large(), cache=caching.cache()).complete("hi").text == "the large answer"
    assert type(pickle.loads(pickle.dumps(CachedLLM(large(), "memory://")))) is CachedLLM


def test_callbacks_are_the_models_own():
    manager, counter = counting()
    llm = CachedLLM(large(), caching.cache())
    llm.callback_manager = manager
    llm.complete(ASKED)
    llm.complete(ASKED)
    assert counter.prompt_llm_token_count == 4
    assert isinstance(llm.callback_manager, CallbackManager)


def test_events_are_of_the_decision():
    llm, _, _ = accepting(cache=caching.cache())
    with listening() as heard:
        llm.complete(ASKED)
        llm.complete(ASKED)
    assert [event.decision["cache"] for event in heard if isinstance(event, FrugalDecisionEvent)] == ["miss", "hit"]
