import pytest

from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.learning.labels import grader


@pytest.mark.parametrize(
    ("labels", "answer", "reference", "grade"),
    [
        ("exact", " Paris", "Paris", 1),
        ("exact", "paris", "Paris", 0),
        ("normalised", "**Paris**.", "paris", 1),
        ("normalised", "not Paris", "Paris", 0),
        ("numeric", "First 3, then $12.00.", "12", 1),
        ("numeric", "12, then 3", "12", 0),
        ("numeric", "seven", "7", 0),
        ("numeric", "Yes.", "yes", 1),  # a reference without a number
        ("numeric", "7", "yes", 0),
    ],
)
def test_by_name(labels, answer, reference, grade):
    assert grader(labels)("a question", answer, reference) == grade


def test_own_function_sees_query_answer_and_reference():
    seen = []

    def half(*given):
        seen.append(given)
        return 0.5

    assert grader(half)("q", "a", "r") == 0.5
    assert grader(lambda *_: True)("q", "a", "r") == 1.0
    assert seen == [("q", "a", "r")]


@pytest.mark.parametrize("given", [1.1, -0.1, float("nan"), "1", None, object()])
def test_own_function_that_gives_no_score(given):
    with pytest.raises(ScorerError, match="from 0"):
        grader(lambda *_: given)("q", "a", "r")


@pytest.mark.parametrize("labels", ["semantic", 3, ["exact"]])
def test_no_way_to_grade(labels):
    with pytest.raises(ConfigurationError, match="'exact', 'normalised', 'numeric'"):
        grader(labels)
