"""Who shares what was learned: only those who promise the same, of answers compared in the same way."""

import functools

import numpy as np
import pytest

from frugal_core.cache.deciders.comparing import identity_of
from frugal_core.cache.deciders.verified import Verified
from frugal_core.cache.embedders.base import as_embedder
from frugal_core.cache.stores.memory import MemoryStore
from frugal_core.learning.semantic import SemanticAgreement


class Judge:
    """Compares by a setting that it keeps to itself, and counts its calls."""

    def __init__(self, least):
        self._least = least
        self.calls = 0

    def __call__(self, question, answer, reference):
        self.calls += 1
        return float(len(answer) - len(reference) < self._least)

    def again(self, question, answer, reference):
        return self(question, answer, reference)


def embedder(name):
    return as_embedder(lambda text: np.ones(3), fingerprint=name)


def log(embed=None, **settings):
    return Verified(**settings).bind(MemoryStore(), lambda: embed)._state._log


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"max_error": 0.01}, {"max_error": 0.02}),
        ({"least": 0.6}, {"least": 0.7}),
        ({"compare": "exact"}, {"compare": "normalised"}),
        ({"compare": "exact"}, {"compare": None}),
        ({"compare": lambda question, answer, reference: 1.0}, {"compare": lambda question, answer, reference: 0.0}),
        ({"compare": Judge(1)}, {"compare": Judge(2)}),
        ({"compare": Judge(1).again}, {"compare": Judge(2).again}),
        ({"compare": Judge(1).again}, {"compare": Judge(1)}),
        ({"compare": SemanticAgreement(embedder("a"))}, {"compare": SemanticAgreement(embedder("b"))}),
        ({"compare": SemanticAgreement(embedder("a"))}, {"compare": SemanticAgreement(embedder("a"), threshold=0.7)}),
        ({"embed": embedder("a")}, {"embed": embedder("b")}),
        ({"embed": embedder("a")}, {"embed": None}),
    ],
)
def test_those_who_promise_something_else_are_kept_apart(one, other):
    assert log(**one) != log(**other)


@pytest.mark.parametrize(
    "make",
    [
        dict,
        lambda: {"compare": "exact", "embed": embedder("a")},
        lambda: {"compare": Judge(1)},
        lambda: {"compare": Judge(1).again},
        lambda: {"compare": functools.partial(max, 1)},
        lambda: {"compare": SemanticAgreement(embedder("a"))},
        lambda: {"embed": embedder("a")},
    ],
)
def test_those_who_promise_the_same_share_it(make):
    assert log(**make()) == log(**make())


def test_what_an_object_counts_while_it_works_does_not_part_it_from_itself():
    judge = Judge(1)
    before = identity_of(judge, None)
    judge("q", "a", "b")
    assert identity_of(judge, None) == before


def test_the_embedder_is_not_opened_before_it_is_needed():
    opened = []

    def open_():
        opened.append(1)
        return embedder("a")

    decider = Verified().bind(MemoryStore(), open_)
    assert decider.report()["requests"] == 0
    assert not opened
    assert decider._state is decider._state
    assert len(opened) == 1
