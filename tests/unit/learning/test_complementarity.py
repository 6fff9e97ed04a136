"""MPI: by hand, against its definition, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from frugal_core.errors import ConfigurationError
from frugal_core.learning.complementarity import complementarity
from recorded import settings, unhurried


def test_it_counts_the_queries_where_one_is_right_and_the_other_wrong() -> None:
    quality = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1], [1, 0, 0]])
    assert complementarity(quality).tolist() == [[0, 0.6, 0.6], [0.2, 0, 0.4], [0, 0.2, 0]]


@unhurried
@given(settings())
def test_graded_quality_counts_by_how_much_better_it_is(setting: Any) -> None:
    found = complementarity(setting.correct)
    for one in range(len(setting.models)):
        for other in range(len(setting.models)):
            gains = [max(0.0, row[one] - row[other]) for row in setting.correct]
            assert found[one, other] == pytest.approx(sum(gains) / len(gains))


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        (np.zeros(3), r"quality has shape \(3,\)"),
        (np.zeros((0, 2)), r"quality has shape \(0, 2\)"),
        (np.array([[0.0, np.nan]]), "quality of query 0, model 1 is nan: it must be a number from 0 to 1"),
        (np.array([[0.0, 0.0], [2.0, 0.0]]), r"quality of query 1, model 0 is 2\.0"),
        (np.array([[0.0, -0.1]]), r"query 0, model 1 is -0\.1"),
    ],
)
def test_what_is_no_quality_is_refused(quality: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        complementarity(quality)
