"""What a signal costs beside the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frugal_core.learning import Recordings
from frugal_core.learning.costs import find_costs
from recorded import row, write


def recordings(tmp_path: Path) -> Recordings:
    """Two models, each of whose answers costs 1 or 10, and its three samples three times that."""
    rows = [
        row(
            f"q{n}",
            model,
            margin=0.5,
            confidence_logp=-0.5,
            samples=["a", "a", "b"],
            cost_answer_usd=usd,
            cost_usd=4 * usd,
        )
        for n in range(3)
        for model, usd in (("small", 1.0), ("large", 10.0))
    ]
    (read,) = Recordings.read([write(tmp_path / "rows.jsonl", rows)])
    return read


@pytest.mark.parametrize(("signal", "factor"), [("votes", 3), ("confidence_logp", 3), ("margin", 0), (None, 0)])
def test_votes_are_charged_the_samples_that_they_took(signal: str | None, factor: int, tmp_path: Path) -> None:
    costs = find_costs(recordings(tmp_path), signal, {})
    np.testing.assert_array_equal(costs.answer, [[1.0, 10.0]] * 3)
    np.testing.assert_array_equal(costs.scoring, factor * costs.answer)
    assert ("scoring them" in costs.source) == bool(factor)
