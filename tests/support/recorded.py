"""Recordings for tests: small ones computed by hand, and random ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st

from frugal_core.learning.setting import Setting

unhurried = hypothesis.settings(deadline=None)
"""Decorates a property test: how long an example takes is no property."""


def row(query_id: Any = "q1", model: Any = "small", **fields: Any) -> dict[str, Any]:
    """One row of the tidy format."""
    return {"dataset": "tiny", "query_id": query_id, "model": model, "split": "train", "correct": 1, **fields}


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as a file of recordings."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def four_queries(**extra: Any) -> list[dict[str, Any]]:
    """Four queries in each split, alike in both, with two models.

    small costs 1, large 4. By threshold: 0 → cost 1, accuracy 1/2; 0.2 → 2, 3/4; 0.8 → 3, 1; 0.9 → 4, 3/4; 1 → 5, 3/4.
    """
    rows = []
    for split in ("train", "test"):
        for i, (small, large, margin) in enumerate(((1, 1, 0.9), (0, 1, 0.1), (1, 0, 0.8), (0, 1, 0.2))):
            common = {"split": split, **extra}
            rows.append(row(f"{split}{i}", "small", correct=small, margin=margin, cost_usd=1.0, **common))
            rows.append(row(f"{split}{i}", "large", correct=large, margin=None, cost_usd=4.0, **common))
    return rows


@st.composite
def settings(draw: st.DrawFn, models: int | None = None) -> Setting:
    """Random datasets: ties, missing signals, empty answers, graded quality, cascades that pay for scoring."""
    k = models or draw(st.integers(2, 4))
    n = draw(st.integers(2, 10))
    cells = n * k

    def matrix(values: st.SearchStrategy[float]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=cells, max_size=cells)), dtype=float).reshape(n, k)

    score = matrix(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, float("nan")]))
    scoring = matrix(st.sampled_from([0.0, 0.5]))
    answers = np.array(
        draw(st.lists(st.sampled_from([None, "yes", " "]), min_size=cells, max_size=cells)), dtype=object
    ).reshape(n, k)
    blank = answers == " "
    score[blank], scoring[blank] = np.nan, 0.0
    train = np.array([True, False, *draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))])
    return Setting(
        dataset="random",
        models=tuple(f"m{i}" for i in range(k)),
        train=train,
        correct=matrix(st.sampled_from([0.0, 0.5, 1.0])),
        cost=matrix(st.sampled_from([1.0, 2.0])) * 4.0 ** np.arange(k),
        scoring=scoring,
        score=score,
        queries=(None,) * n,
        answers=answers,
        tokens=np.full((n, k), np.nan),
        logprobs=np.full((n, k), None, dtype=object),
        finish_reasons=np.full((n, k), None, dtype=object),
        signal="margin",
        cost_source="made up",
        unit="USD per query",
        chance=None,
        notes=(),
    )


def simulated(rows: int = 300, models: int = 3, seed: int = 0, *, texts: bool = False) -> Setting:
    """Models of rising quality and cost, whose scores tell right from wrong rather well."""
    chance = np.random.default_rng(seed)
    hardness = chance.random(rows)
    ability = np.linspace(0.5, 0.95, models)
    right = np.clip(ability[None, :] + 0.4 * (0.5 - hardness)[:, None], 0, 1)
    correct = (chance.random((rows, models)) < right).astype(float)
    score = np.clip(0.5 * correct + 0.25 + 0.35 * (chance.random((rows, models)) - 0.5), 0, 1).round(3)
    answers = np.full((rows, models), None, dtype=object)
    if texts:
        answers[:] = [[f"answer {int(value)}" for value in line] for line in correct]
    return Setting(
        dataset="simulated",
        models=tuple(f"m{place}" for place in range(models)),
        train=np.ones(rows, dtype=bool),
        correct=correct,
        cost=10.0 ** np.arange(models) * chance.uniform(0.9, 1.1, (rows, models)),
        scoring=np.zeros((rows, models)),
        score=score,
        queries=tuple(f"question {row}" if texts else None for row in range(rows)),
        answers=answers,
        tokens=np.full((rows, models), np.nan),
        logprobs=np.full((rows, models), None, dtype=object),
        finish_reasons=np.full((rows, models), None, dtype=object),
        signal="margin",
        cost_source="made up",
        unit="USD per query",
        chance=None,
        notes=(),
    )
