"""Answers that rest on documents are served while these are the same, and removed when they are not."""

import pytest

from caching import ask, cache, told
from frugal_core.cache.options import PLAIN, CacheOptions
from frugal_core.cache.retrieval import SameDocuments, SameVersion, documents_tag
from frugal_core.errors import ConfigurationError, FrugalWarning

NEAR = ("what are the opening hours", "what are your opening hours")
HOURS = [("hours", "We open at 9.")]


def kept(own, text, documents):
    lookup = own.lookup(ask(text))
    lookup.options = SameDocuments.noted(lookup.options, documents)
    lookup.settle(told())


async def looked_up(own, text, valid, how):
    if how == "lookup":
        return own.lookup(ask(text), valid=valid)
    if how == "alookup":
        return await own.alookup(ask(text), valid=valid)
    return own.lookup_many([ask(text)], [PLAIN], valid=valid)[0]


each_way = pytest.mark.parametrize("how", ["lookup", "alookup", "lookup_many"])


@each_way
@pytest.mark.parametrize("asked", NEAR)
async def test_the_stored_question_is_retrieved_for(how, asked):
    own, seen = cache(), []
    kept(own, NEAR[0], HOURS)

    def retrieve(question):
        seen.append(question)
        return HOURS

    assert (await looked_up(own, asked, SameDocuments(retrieve), how)).hit is not None
    assert seen == [NEAR[0]]


@each_way
@pytest.mark.parametrize("asked", NEAR)
async def test_what_does_not_hold_is_removed_and_said(how, asked):
    own = cache()
    kept(own, NEAR[0], HOURS)
    lookup = await looked_up(own, asked, SameDocuments(lambda question: [("hours", "We open at 10.")]), how)
    assert lookup.hit is None
    assert "stale" in lookup.notes[0]
    assert (own.stats().stale, own.store.size().entries) == (1, 0)
    lookup.abandon()


@each_way
async def test_a_check_that_fails_is_a_miss_and_removes_nothing(how):
    own = cache()
    kept(own, NEAR[0], HOURS)

    def retrieve(question):
        raise ConnectionError("down")

    with pytest.warns(FrugalWarning, match="ConnectionError: down"):
        lookup = await looked_up(own, NEAR[0], SameDocuments(retrieve), how)
    assert lookup.hit is None
    assert own.store.size().entries == 1
    lookup.abandon()


async def test_an_awaited_retriever():
    own = cache()
    kept(own, NEAR[0], HOURS)

    async def aretrieve(question):
        return HOURS

    def never(question):
        raise AssertionError("the awaited one is there")

    assert (await own.alookup(ask(NEAR[0]), valid=SameDocuments(never, aretrieve))).hit is not None


def test_the_next_neighbour_is_tried():
    own = cache()
    kept(own, NEAR[0], HOURS)
    kept(own, "how do magnets work", HOURS)
    documents = {"what are your opening hours please": [], NEAR[0]: HOURS}
    own.decider.least = 0.99
    kept(own, "what are your opening hours please", HOURS)
    own.decider.least = 0.5
    hit = own.lookup(ask(NEAR[1]), valid=SameDocuments(documents.__getitem__)).hit
    assert hit.entry.question == NEAR[0]
    assert own.stats().stale == 1


@each_way
@pytest.mark.parametrize("given", ["2", lambda: "2"])
async def test_versions(how, given):
    own = cache()
    lookup = own.lookup(ask(NEAR[0]))
    lookup.options = SameVersion("1").noted(lookup.options)
    lookup.settle(told())
    assert (await looked_up(own, NEAR[1], SameVersion("1"), how)).hit is not None
    lookup = await looked_up(own, NEAR[1], SameVersion(given), how)
    assert (lookup.hit, own.store.size().entries) == (None, 0)
    lookup.abandon()


def test_documents_are_named_once_and_add_to_what_was_given():
    found = [("a", "x"), ("b", "y"), ("b", "z"), ("", "w")]
    options = SameDocuments.noted(CacheOptions(tags=("mine",), documents=("a",)), found)
    assert options.documents == ("a", "b")
    assert options.tags == ("mine", documents_tag(reversed(found)))
    assert len({documents_tag(each) for each in ([], [("a", "x")], [("b", "x")], [("a", "y")], [("a", "x"), ("a", "y")])}) == 5


def test_a_version_is_a_text():
    with pytest.raises(ConfigurationError, match="version=7 must be a text"):
        SameVersion(7)
