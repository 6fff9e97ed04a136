"""A cache whose server is down, slow or closed to it costs its user nothing but hits, and works again once the server does."""

import time
import warnings

import pytest

from caching import Words, ask, cache, filled, told
from frugal_core.cache.stores import open_store
from frugal_core.cache.stores.server import Breaker
from frugal_core.errors import FrugalWarning, StoreError
from servers import Postgres, Redis, free_port

KINDS = {
    "redis": (Redis, {}),
    "redis_search": (lambda: Redis(search=True), {"replica": False}),
    "postgres": (Postgres, {}),
    "pgvector": (Postgres, {"replica": False}),
}


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def server(kind):
    with KINDS[kind][0]() as server:
        yield server


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def own(kind, server, clock):
    """A cache on the server that knows an answer; a second after a failure comes when the clock says so."""
    with cache(open_store(server.url, timeout_s=0.3, refresh_s=0, **KINDS[kind][1]), wait_s=5) as own:
        filled(own, FRANCE)
        own.store._breaker = Breaker(clock=clock)
        yield own


FRANCE = "what is the capital of france"


def look(own, text=FRANCE):
    """Look a question up that nobody is going to answer."""
    lookup = own.lookup(ask(text))
    lookup.abandon()
    return lookup


def failed(lookup):
    """Whether a lookup was a miss that says why."""
    return lookup.hit is None and any("The cache did not work: StoreError" in note for note in lookup.notes)


def untried(lookup):
    """Whether the server was not even asked."""
    return failed(lookup) and all("tried again every 1 s" in note for note in lookup.notes)


def first_failure(own):
    """The first lookup that fails, which is told aloud; later ones are only noted."""
    with pytest.warns(FrugalWarning, match="Queries are answered without it"):
        lookup = look(own)
    assert failed(lookup)
    return lookup


def test_a_server_that_is_killed_and_comes_back(own, server, clock):
    assert look(own).hit.kind == "exact"
    assert look(own, f"{FRANCE} today").hit.kind == "semantic"
    server.end()
    first_failure(own)
    for _ in range(20):
        lookup = own.lookup(ask(FRANCE))
        assert untried(lookup)
        lookup.settle(told("PARIS"))
    clock.now += 1.5
    assert not untried(look(own))  # one tries, and finds it still away
    assert untried(look(own))
    assert own.stats().entries is None
    server.start()
    assert untried(look(own))
    clock.now += 1.5
    filled(own, "who wrote faust")
    assert look(own, "who wrote faust").hit.entry.answer == "WHO WROTE FAUST"
    assert look(own, "who wrote faust then").hit.kind == "semantic"


def test_a_server_that_dies_between_lookup_and_answer(own, server):
    lookup = own.lookup(ask("who wrote faust"))
    server.end()
    with pytest.warns(FrugalWarning):
        lookup.settle(told("Goethe"))
    assert any("did not work" in note for note in lookup.notes)
    assert look(own, "who wrote faust").hit is None


def test_a_server_that_hangs(own, server, clock):
    server.hold_up()
    first_failure(own)
    assert untried(look(own))
    server.go_on()
    clock.now += 1.5
    assert look(own).hit.kind == "exact"
    assert look(own, f"{FRANCE} today").hit.kind == "semantic"


async def test_tasks_go_on_too(own, server, clock):
    server.end()
    with pytest.warns(FrugalWarning):
        lookup = await own.alookup(ask(FRANCE))
    assert failed(lookup)
    await lookup.asettle(told("PARIS"))
    server.start()
    clock.now += 1.5
    lookup = await own.alookup(ask("who wrote faust"))
    assert lookup.hit is None
    await lookup.asettle(told("Goethe"))
    assert (await own.alookup(ask("who wrote faust"))).hit.entry.answer == "Goethe"


def test_it_comes_back_by_the_real_clock(kind, server):
    with cache(open_store(server.url, timeout_s=0.3, **KINDS[kind][1])) as own:
        server.end()
        first_failure(own)
        server.start()
        until = time.monotonic() + 60
        while failed(look(own, "who wrote faust")):
            assert time.monotonic() < until
        filled(own, "who wrote faust")
        assert look(own, "who wrote faust").hit.entry.answer == "WHO WROTE FAUST"


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}", "postgresql://postgres@127.0.0.1:{port}/postgres"])
def test_a_program_starts_without_the_server(url):
    with cache(url.format(port=free_port()), embed=Words()) as own:
        first_failure(own)
        with pytest.raises(StoreError, match=r"ConnectionError|OperationalError"):
            own.invalidate(tag="a")  # whoever asks for something that must not be left undone is told


def test_a_wrong_password():
    with Redis(password="right") as server:
        wrong = server.url.replace("redis://", "redis://:wrong@")
        with cache(wrong) as own:
            assert not any("wrong@" in note for note in first_failure(own).notes)
        with cache(server.url) as own:
            first_failure(own)
        with cache(server.url.replace("redis://", "redis://:right@")) as own, warnings.catch_warnings():
            filled(own, "who wrote faust")
            assert look(own, "who wrote faust").hit is not None


def test_a_database_that_is_not_there(postgres_url):
    with cache(postgres_url.replace("/postgres?", "/missing?")) as own:
        first_failure(own)


def test_one_tries_while_the_others_wait_for_what_comes_of_it():
    clock = Clock()
    breaker = Breaker(clock=clock)
    breaker.enter()
    breaker.failed("Away.")
    with pytest.raises(StoreError, match=r"Away\. It is tried again every 1 s\."):
        breaker.enter()
    clock.now += 1
    breaker.enter()
    with pytest.raises(StoreError, match="Away"):
        breaker.enter()
    breaker.worked()
    breaker.enter()
    breaker.enter()
