"""What each guard holds for the same, what it vetoes, and how it says why."""

from __future__ import annotations

import pytest

from frugal_core.cache import Guard
from frugal_core.cache.guards import STANDARD, Dates, Kinds, Names, Negation, Numbers, Order, Polarity, Quotes, Units
from frugal_core.cache.guards.base import check_guards, guard_name, listed
from frugal_core.cache.guards.numbers import Figures
from frugal_core.cache.guards.quantities import read
from frugal_core.cache.guards.words import distance, stem, tokens
from frugal_core.errors import ConfigurationError

VETOES = [
    (Numbers(), "Rice for 3 people", "Rice for five people", "numbers differ: 3 here, 5 there"),
    (Numbers(), "Give me 3 tips", "Give me tips", "numbers differ: 3 here, none there"),
    (Numbers(), "Is Python 3.1 old?", "Is Python 3.10 old?", "numbers differ: 3.1 here, 3.10 there"),
    (Numbers(), "Order 48213", "Order 48231", "numbers differ: 48213 here, 48231 there"),
    (Numbers(), "error 0x80070005", "error 0x80070057", "numbers differ: 0x80070005 here, 0x80070057 there"),
    (Numbers(), "Henry VIII's wives", "Henry VII's wives", "numbers differ: 8 here, 7 there"),
    (Numbers(), "Is a > b?", "Is a < b?", "signs differ: > here, < there"),
    (Units(), "How far is 5 km?", "How far is 5 miles?", "units differ: 5 kilometre here, 5 mile there"),
    (Units(), "Is 3 mg safe?", "Is 3ml safe?", "units differ: 3 milligram here, 3 millilitre there"),
    (Units(), "What is $20 in yen?", "What is 20 euros in yen?", "units differ: 20 dollar here, 20 euro there"),
    (Units(), "90 square feet", "90 square metres", "units differ: 90 square foot here, 90 square metre there"),
    (Dates(), "Who won in 2016?", "Who won in 2020?", "dates differ: year 2016 here, year 2020 there"),
    (Dates(), "open on Monday?", "open on Tues?", "dates differ: weekday Monday here, weekday Tuesday there"),
    (Dates(), "sales of last month", "sales of this month", "dates differ: last month here, this month there"),
    (Dates(), "Rome until 44 BC", "Rome until 44 AD", "dates differ: year 44 BC here, none there"),
    (Dates(), "hits of the 60s", "hits of the 1970s", "dates differ: decade 1960 here, decade 1970 there"),
    (Dates(), "at 5pm", "at 16:00", "dates differ: time 17:00 here, time 16:00 there"),
    (Negation(), "Is it not safe?", "Is it safe?", 'only this one is negated: "not"'),
    (Negation(), "Can I travel?", "Can't I travel?", 'only the other is negated: "not"'),
    (Negation(), "Which tests fail?", "Which tests do not fail?", 'negations differ: "fail" here, "not", "fail" there'),
    (Negation(), "refundable tickets", "non-refundable tickets", 'only the other is negated: "non"'),
    (Negation(), "When would you not tip?", "When would you tip?", 'only this one is negated: "not"'),
    (Negation(), "He left. Why can't I?", "He left. Why can I?", 'only this one is negated: "not"'),
    (Negation(), "Why don't we feel it?", "Why do we feel it?", 'only this one is negated: "not"'),
    (Negation(), "Which cards don't you take?", "Which cards do you take?", 'only this one is negated: "not"'),
    (Polarity(), "How do I enable it?", "How do I disable it?", 'opposites: "enable" here, "disable" there'),
    (Polarity(), "Turn the light on", "Turn off the light", 'opposites: "enable" here, "disable" there'),
    (Polarity(), "hypothyroidism", "hyperthyroidism", 'opposites: "hypothyroidism" here, "hyperthyroidism" there'),
    (Polarity(), "is it getting bigger", "is it getting smaller", 'opposites: "bigger" here, "smaller" there'),
    (Polarity(), "symptoms of flu", "treatment of flu", 'opposites: "symptoms" here, "treatment" there'),
    (Quotes(), 'Say "yes"', "Say “no”", 'quotes differ: "yes" here, "no" there'),
    (Quotes(), "What does `-r` do?", "What does `-f` do?", 'quotes differ: "-r" here, "-f" there'),
    (Quotes(), "What does 'serene' mean?", "What does it mean?", 'quotes differ: "serene" here, none there'),
    (Order(), "from Rome to Milan", "from Milan to Rome", 'roles are reversed: "rome" and "milan"'),
    (Order(), "Is tea better than milk?", "Is milk better than tea?", 'roles are reversed: "tea" and "milk"'),
    (Order(), "Please fly me from Rome to Milan now", "A flight from Milan to Rome", 'roles are reversed: "rome" and "milan"'),
    (Order(), "What is 7 minus 10?", "What is 10 minus 7?", 'roles are reversed: "7" and "10"'),
    (Kinds(), "When did he die?", "Where did he die?", "they ask for different things: when here, where there"),
    (Kinds(), "How old is it?", "How tall is it?", "they ask for different things: how old here, how tall there"),
    (Names(), "capital of france", "What is the capital of Spain?", "names differ: france here, spain there"),
    (Names(), "Is Austria large?", "Is Australia large?", "names differ: austria here, australia there"),
    (Names(), "a loop in C++", "a loop in C#", "names differ: c++ here, c# there"),
    (Names(), "sort a list in Java", "sort a list in JavaScript", "names differ: java here, javascript there"),
    (Names(), "vitamin A overdose", "vitamin D overdose", "names differ: A here, d there"),
    (Names(), "call Ada Byron", "call Al Gore now", "names differ: ada, byron here, al, gore there"),
]

SAME = [
    (Numbers(), "1,000 euros in 2 parts", "two parts of 1k euros"),
    (Numbers(), "the 2nd law, half a dozen", "6 of the second law"),
    (Numbers(), "a hundred and twenty-five", "125.0"),
    (Numbers(), "Ist das 3,5 oder 2?", "Ist das 2 oder 3.5?"),
    (Numbers(), "World War II", "world war 2"),
    (Numbers(), "in one month", "in 1 month"),
    (Numbers(), "How can one do it?", "How can I do it?"),
    (Numbers(), "٣ أيام", "3 أيام"),
    (Numbers(), "what is 2+2", "What is 2 + 2?"),
    (Numbers(), "5-10 minutes, TCP/IP, and/or", "5 to 10 minutes, tcp/ip and/or"),
    (Units(), "5 km", "5 kilometers"),
    (Units(), "5 lbs of rice", "5 pounds of rice"),
    (Units(), "US$20", "20 USD"),
    (Units(), "20 °C", "20 degrees Celsius"),
    (Units(), "60 minutes", "an hour"),
    (Dates(), "3 March 2024", "March 3rd, 2024"),
    (Dates(), "2024-03-03", "the third of March 2024"),
    (Dates(), "at 5 p.m.", "at 17:00"),
    (Dates(), "What may I eat on Wensday?", "What may I eat on Wednesday?"),
    (Dates(), "Which shops are open today?", "Which shops are open?"),
    (Dates(), "fall in love", "love"),
    (Dates(), "Good morning, who are you?", "Who are you?"),
    (Negation(), "Is it illegal?", "Is it not legal?"),
    (Negation(), "It is not uncommon", "It is common"),
    (Negation(), "I don't know how to make pesto. How?", "How do I make pesto?"),
    (Negation(), "Couldn't you explain it?", "Could you explain it?"),
    (Negation(), "It is warm, isn't it?", "It is warm"),
    (Negation(), "Could you not simply list them?", "Could you simply list them?"),
    (Negation(), "I can't find my PIN, where is it?", "Where is my PIN?"),
    (Negation(), "Why don't you tell me who won?", "Who won?"),
    (Negation(), "Why doesnt it work?", "Why does it not work?"),
    (Negation(), "not only red but also blue", "red and blue"),
    (Polarity(), "turn on the alarm", "enable the alarm"),
    (Polarity(), "the pros and cons of tea", "the cons of tea"),
    (Polarity(), "What should I buy?", "What should I get?"),
    (Quotes(), 'What is the plot of "Emma"?', "what is the plot of emma?"),
    (Quotes(), "the dogs' tails aren't long, it's true", "tails"),
    (Order(), "In Paris, where can I park?", "Where can I park in Paris?"),
    (Order(), "France has which capital?", "Which capital has France?"),
    (Order(), "salt and pepper", "pepper and salt"),
    (Order(), "Is the iPhone 14 or the iPhone 15 better?", "Is the iPhone 15 or the iPhone 14 better?"),
    (Order(), "between Lyon and Nice", "between Nice and Lyon"),
    (Order(), "The capital of France is what?", "What is the capital of France?"),
    (Order(), "Please go from A1 to B2", "Go to B2 from A1, please"),
    (Kinds(), "What happens when I die?", "Why do I die?"),
    (Names(), "How do I learn Pythno?", "how do I learn python"),
    (Names(), "president of the US", "president of the United States"),
    (Names(), "Tell us the rules of chess", "the rules of chess"),
    (Names(), "How do I buy a film?", "How do I purchase a movie?"),
    (Names(), "calculate interest", "calculation of interest"),
    (Names(), "what is machine-learning", "What is machine learning?"),
    (Names(), "set up Docker", "set up Docker on Ubuntu"),
    (Names(), "WHERE IS LIMA?", "Where is Lima"),
]


@pytest.mark.parametrize(("guard", "asked", "cached", "reason"), VETOES)
def test_a_veto_says_what_differs(guard: Guard, asked: str, cached: str, reason: str) -> None:
    assert guard(asked, cached) == reason
    assert guard(cached, asked) is not None


@pytest.mark.parametrize(("guard", "asked", "cached"), SAME)
def test_other_words_for_the_same_fact_agree(guard: Guard, asked: str, cached: str) -> None:
    assert guard(asked, cached) is None
    assert guard(cached, asked) is None


def test_standard_holds_every_guard_once() -> None:
    assert [guard_name(guard) for guard in check_guards(STANDARD)] == [
        "numbers",
        "units",
        "dates",
        "negation",
        "polarity",
        "quotes",
        "order",
        "kinds",
        "names",
    ]


def test_facts_are_parsed_once_per_text() -> None:
    seen: list[str] = []

    class Counting(Numbers):
        def facts(self, text: str) -> Figures:
            seen.append(text)
            return super().facts(text)

    guard = Counting()
    for _ in range(3):
        assert guard("4 eggs", "6 eggs")
    assert seen == ["4 eggs", "6 eggs"]


def test_functions_are_guards_and_other_things_are_refused() -> None:
    def greeting(asked: str, cached: str) -> str | None:
        return None

    assert guard_name(check_guards([greeting])[0]) == "greeting"
    with pytest.raises(ConfigurationError, match="no guard"):
        check_guards([Numbers])
    with pytest.raises(ConfigurationError, match="must be a list"):
        check_guards(Numbers())


def test_long_lists_of_facts_are_shortened() -> None:
    assert listed(["1", "2", "3", "4", "5"]) == "1, 2, 3, 4, …"
    assert listed(["x" * 100]) == "x" * 59 + "…"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("two million and fifty", ("2000050",)),
        ("nineteen eighty", ("1980",)),
        ("one hundred and nine", ("109",)),
        ("£2.5bn or $3m", ("2500000000", "3000000")),
        ("two and a half", ("2.5",)),
        ("a couple of eggs", ()),
        ("version 3.11.2", ("3.11.2",)),
        ("12.50 euros", ("12.5",)),
        ("1,234,567.80 dollars", ("1234567.8",)),
        ("20th, 21 and 007", ("20", "21", "7")),
    ],
)
def test_numbers_are_read(text: str, numbers: tuple[str, ...]) -> None:
    assert read(text).numbers == numbers


def test_tokens_stems_and_distances() -> None:
    assert [token.text for token in tokens("I can't wait; NYC’s best e-mail")] == [
        *("i", "can", "not", "wait", "new", "york", "best", "email"),
    ]
    assert {stem(word) for word in ("stop", "stops", "stopped", "stopping")} == {"stop"}
    assert stem("feet") == stem("foot")
    assert [distance("lyon", "loyn", 2), distance("a", "abcd", 2), distance("kitten", "sitting", 3)] == [1, 3, 3]
