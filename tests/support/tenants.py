"""Tenants that ask nearly what others have asked."""

import random

from caching import Words, ask, told
from frugal_core.cache import CacheOptions, SemanticCache

NAMES = (
    "",
    "a",
    "A",
    "a b",
    "a,b",
    "a|b",
    "{a}",
    "a})=>[KNN",
    "*",
    "-@t:{a}",
    "a' OR '1'='1",
    "a%",
    "a_",
    "a\x00",
    "ä",
    "\ud800",
)
"""Names that mean something in the languages of the servers, or look alike."""

PEOPLE = ("Ann", "Bob", "Cem", "Dana", "Eli", "Fay", "Gus", "Hana")
THINGS = ("order", "invoice", "parcel", "refund", "contract", "ticket", "salary", "password")


def tenants(store, lookups, *, seed=0):
    """Look up near duplicates of what other tenants have stored, and count.

    Every tenant has stored answers to a third of all questions, so that most of what one asks only others know; and each asks
    in words of his own, that are nearer to many another's question than the threshold.

    Args:
        store: An empty one.
        lookups: Number of lookups.
        seed: Of chance.

    Returns:
        Hits, and leaks among them: answers that were another tenant's.
    """
    rng = random.Random(seed)
    questions = [
        f"What about the {thing} of {person}, number {number}?" for thing in THINGS for person in PEOPLE for number in (1, 2)
    ]
    hits = leaks = 0
    with SemanticCache(store, embed=Words(64), decider=0.7, guards=(), single_flight=False) as cache:
        for name in NAMES:
            own = rng.sample(questions, len(questions) // 3)
            found = cache.lookup_many([ask(text, namespace=name) for text in own], [CacheOptions(namespace=name)] * len(own))
            for lookup in found:
                lookup.settle(told(name.encode("utf-8", "surrogatepass").hex()))
        while lookups > 0:
            name = rng.choice(NAMES)
            asked = [ask(rephrased(rng.choice(questions), rng), namespace=name) for _ in range(min(32, lookups))]
            lookups -= len(asked)
            for lookup in cache.lookup_many(asked, [CacheOptions(namespace=name)] * len(asked)):
                assert not any("did not work" in note for note in lookup.notes), lookup.notes
                if lookup.hit is not None:
                    hits += 1
                    entry = lookup.hit.entry
                    leaks += entry.namespace != name or entry.answer != name.encode("utf-8", "surrogatepass").hex()
    return hits, leaks


def rephrased(text, rng):
    """A question in slightly other words, or the same."""
    words = text.split()
    return rng.choice(
        [text, text.upper(), " ".join(rng.sample(words, len(words))), f"please {text}", text.replace("What about", "How is")]
    )
