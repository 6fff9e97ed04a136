"""Files of recordings to evaluate on, and families of policies of which one knows beforehand how they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np

from frugal_core.errors import RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.path import Path, Replayed
from frugal_core.learning.setting import Setting
from frugal_core.policies import Policy, Single

OPTIONAL = ("margin", "cost_usd", "query", "answer", "reference", "prompt_tokens", "completion_tokens", "params_b", "logprobs")
"""Columns that a file may lack."""


def made_up(
    queries: int = 40, models: Sequence[str] = ("small", "middle", "large"), *, seed: int = 0, graded: bool = False
) -> list[dict[str, Any]]:
    """Rows of models of which each is dearer and better than the one before, with a signal that tells right from wrong."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(queries):
        hardness = draw.random()
        for place, model in enumerate(models):
            right = hardness < (place + 1.5) / (len(models) + 0.8)
            correct = float(np.clip(0.7 * right + 0.3 * draw.random(), 0, 1)) if graded else int(right)
            rows.append(
                {
                    "dataset": "made up",
                    "query_id": f"q{number:03}",
                    "model": model,
                    "split": "train" if number % 2 else "test",
                    "correct": correct,
                    "margin": float(np.clip(0.3 + 0.4 * right + 0.3 * draw.random(), 0, 1)),
                    "cost_usd": 0.001 * 4.0**place,
                    "query": f"What is {number} plus {number * 7 % 50}?",
                    "answer": str(number + number * 7 % 50) if right else str(number),
                    "reference": str(number + number * 7 % 50),
                    "prompt_tokens": 10,
                    "completion_tokens": 5 + place,
                    "params_b": 4.0**place,
                    "logprobs": [-0.1, -0.2 * draw.random()],
                }
            )
    return rows


@dataclass(frozen=True)
class Listed(Path):
    """Single models, with whatever is expected of them.

    Attributes:
        picks: Index of the model of each policy.
        cheat: Whether to serve their answers without asking them, at the cost of the first model.
        seen: Queries that must not be replayed.
    """

    models: tuple[str, ...]
    cost: Floats
    quality: Floats
    picks: tuple[int, ...]
    cheat: bool = False
    seen: frozenset[str | None] = frozenset()
    family: str = "listed"

    def replay(self, setting: Setting) -> Replayed:
        assert not self.seen & set(setting.queries), "replayed what it learned from"
        asked = [0 if self.cheat else pick for pick in self.picks]
        served = np.repeat(np.array(self.picks)[:, None], len(setting.correct), axis=1)
        calls = np.eye(len(setting.models))[asked]
        return Replayed(setting.correct[:, list(self.picks)].T, setting.cost[:, asked].T, served, calls)

    def policy(self, place: int) -> Policy:
        return Single(self.models[self.picks[place]])


@dataclass(frozen=True)
class Always:
    """The family of one single model. A cheat serves its answers without asking it, at the cost of the first one.

    Attributes:
        model: Index of the model.
        cheat: Whether to.
        name: Of the family.
        memory: Whether to refuse, when replayed, queries that were learned from.
    """

    model: int
    cheat: bool = False
    name: str = "always"
    memory: bool = False

    def fit(self, setting: Setting) -> Listed:
        cost = setting.cost[:, [0 if self.cheat else self.model]].mean(axis=0)
        seen = frozenset(setting.queries) if self.memory else frozenset()
        quality = setting.correct[:, [self.model]].mean(axis=0)
        return Listed(setting.models, cost, quality, (self.model,), self.cheat, seen)


@dataclass(frozen=True)
class Unable:
    """A family that never can."""

    name: str = "unable"

    def fit(self, setting: Setting) -> Path:
        raise RecordingsError("There are no texts. Record them.")


@dataclass
class Page(HTMLParser):
    """A page whose tags must be closed in the order in which they were opened."""

    opened: list[str] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def read(cls, text: str) -> Page:
        page = cls()
        page.feed(text)
        page.close()
        assert not page.opened, f"never closed: {page.opened}"
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.outside += [value or "" for name, value in attrs if name in ("src", "href") and not (value or "").startswith("#")]
        if tag not in ("meta", "br"):
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened, f"</{tag}> closes nothing"
        assert self.opened[-1] == tag, f"</{tag}> closes <{self.opened[-1]}>"
        self.opened.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
