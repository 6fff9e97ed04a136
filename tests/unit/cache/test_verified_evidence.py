"""What comparisons leave behind: groups of entries with one answer, and effects of entries."""

import math

import pytest

from frugal_core.cache.deciders import evidence as module
from frugal_core.cache.deciders.base import Candidate
from frugal_core.cache.deciders.evidence import NAMES, Evidence
from frugal_core.cache.stores.base import Neighbour

FEATURE = {name: place for place, name in enumerate(NAMES)}


def near(key, similarity):
    return Neighbour(key, "what is it", similarity)


def row(evidence, *neighbours):
    found = evidence.features(Candidate("what is that", neighbours[0], neighbours[1:]))
    return {name: found[place] for name, place in FEATURE.items()}


def take(evidence, entry, asked, outcome, same=(), expected=0.5):
    evidence.take(entry, asked, "what is that", "what is it", 0.9, outcome, expected, same)


@pytest.fixture
def evidence():
    """Entries a, b and c share an answer; d has another."""
    known = Evidence()
    take(known, "a", "b", 1.0, ("a",))
    take(known, "b", "c", 1.0, ("b", "a"))
    take(known, "a", "d", 0.0)
    return known


def test_near_entries_with_the_same_answer_support_each_other(evidence):
    told = row(evidence, near("a", 0.95), near("b", 0.94), near("d", 0.90))
    assert (told["of_group"], told["others"]) == (1, 1)
    assert told["lead_of_group"] == pytest.approx(0.05)
    assert 0.5 < told["support"] < 1
    assert told["group_size"] == pytest.approx(math.log1p(3))


def test_of_unknown_entries_nothing_is_claimed(evidence):
    told = row(evidence, near("x", 0.95), near("y", 0.94))
    assert math.isnan(told["support"])
    assert math.isnan(told["lead_of_group"])
    assert told["entry_trials"] == told["entry_effect"] == 0


def test_an_entry_whose_answers_did_less_often_than_expected_is_known_for_it(evidence):
    take(evidence, "d", "e", 0.0, expected=0.9)
    assert row(evidence, near("d", 0.95))["entry_effect"] < 0
    assert row(evidence, near("b", 0.95))["entry_effect"] > 0


def test_an_entry_with_a_new_answer_starts_afresh(evidence):
    assert row(evidence, near("b", 0.95))["entry_trials"] > 0
    take(evidence, "d", "b", 1.0, ("d",))
    told = row(evidence, near("b", 0.95), near("a", 0.94), near("d", 0.93))
    assert told["entry_trials"] == 0
    assert (told["of_group"], told["others"]) == (1, 1)


def test_only_so_many_entries_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 10)
    evidence = Evidence()
    for place in range(50):
        take(evidence, f"e{place}", f"q{place}", place % 2, (f"e{place}",) if place % 2 else ())
    assert len(evidence._group) == len(evidence._entries) == 10
    assert sum(evidence._size.values()) == 10
