"""How many wrong neighbours the guards let through, and how many right ones they keep from answering."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adversarial_edits import ADVERSARIAL, HARMLESS, pairs
from adversarial_edits_held_out import HELD_OUT_ADVERSARIAL, HELD_OUT_HARMLESS, LATER_ADVERSARIAL, LATER_HARMLESS
from frugal_core.cache.guards import STANDARD
from recorded import unhurried

LEADING = {
    "number": {"numbers"},
    "unit": {"units", "numbers"},
    "date": {"dates"},
    "negation": {"negation"},
    "antonym": {"polarity", "negation"},
    "entity": {"names"},
    "quoted": {"quotes"},
    "reversal": {"order"},
}
"""By category, the guards that were made for it."""


def vetoes(asked: str, cached: str) -> list[str]:
    """Names of the guards that object."""
    return [guard.name for guard in STANDARD if guard(asked, cached)]


def accepted(edits: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that pass in one direction at least."""
    return [(cached, asked) for cached, asked in edits if not vetoes(asked, cached) or not vetoes(cached, asked)]


def refused(edits: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that are vetoed in one direction at least."""
    return [(cached, asked) for cached, asked in edits if vetoes(asked, cached) or vetoes(cached, asked)]


def test_the_sets_are_as_large_as_promised() -> None:
    adversarial, harmless = pairs(ADVERSARIAL), pairs(HARMLESS)
    assert sum(map(len, adversarial.values())) >= 500
    assert sum(map(len, harmless.values())) >= 300
    assert sum(len(edits) for lines in (HELD_OUT_ADVERSARIAL, HELD_OUT_HARMLESS) for edits in pairs(lines).values()) >= 200
    everything = [pair for edits in adversarial.values() for pair in edits]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("category", ADVERSARIAL)
def test_at_most_one_percent_of_adversarial_edits_is_accepted(category: str) -> None:
    edits = pairs(ADVERSARIAL)[category]
    assert len(accepted(edits)) <= 0.01 * len(edits), accepted(edits)


@pytest.mark.parametrize("category", ADVERSARIAL)
def test_the_guard_made_for_a_category_does_most_of_the_work(category: str) -> None:
    edits = pairs(ADVERSARIAL)[category]
    caught = [pair for pair in edits if LEADING[category] & set(vetoes(*pair))]
    assert len(caught) >= 0.7 * len(edits), [pair for pair in edits if pair not in caught]


@pytest.mark.parametrize("category", HARMLESS)
def test_at_most_five_percent_of_harmless_edits_is_vetoed(category: str) -> None:
    edits = pairs(HARMLESS)[category]
    assert len(refused(edits)) <= 0.05 * len(edits), refused(edits)


def test_what_was_written_apart_fares_alike() -> None:
    adversarial = [
        pair for lines in (HELD_OUT_ADVERSARIAL, LATER_ADVERSARIAL) for each in pairs(lines).values() for pair in each
    ]
    harmless = [pair for lines in (HELD_OUT_HARMLESS, LATER_HARMLESS) for each in pairs(lines).values() for pair in each]
    assert len(accepted(adversarial)) <= 0.01 * len(adversarial), accepted(adversarial)
    assert len(refused(harmless)) <= 0.05 * len(harmless), refused(harmless)


@given(st.text(max_size=80))
@unhurried
def test_no_text_is_vetoed_against_itself(text: str) -> None:
    assert vetoes(text, text) == []


@given(st.text(max_size=60), st.text(max_size=60))
@unhurried
def test_any_texts_can_be_compared_in_both_directions(one: str, other: str) -> None:
    assert bool(vetoes(one, other)) == bool(vetoes(other, one))


SCRAPS = "no not 3 may 5/5/2020 US 1,00 ½ ² 10:99 'a' ` \" £ km half ii °c it's from to than 31.12.2020 9999-99-99 0x 1.2.3 q 4"


@given(st.lists(st.sampled_from(SCRAPS.split(" "))))
@unhurried
def test_scraps_of_what_guards_look_for_break_nothing(words: list[str]) -> None:
    assert vetoes(" ".join(words), " ".join(words)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Wie viel kosten 3 Äpfel?", "Wie viel kosten 5 Äpfel?"),
        ("السعر ٣ ريال", "السعر ٥ ريال"),
        ("価格は３００円ですか", "価格は５００円ですか"),
        ("Où est-il en 2019 ?", "Où est-il en 2021 ?"),
    ],
)
def test_numbers_agree_in_any_language(one: str, other: str) -> None:
    assert vetoes(one, other)
    assert not vetoes(one.upper(), one)
