"""What every decider is: who says whether a near neighbour may answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from frugal_core.cache.stores.base import Neighbour

if TYPE_CHECKING:
    from frugal_core.cache.embedders.base import Embedder
    from frugal_core.cache.stores.base import Store


@dataclass(frozen=True, slots=True)
class Candidate:
    """The nearest neighbour that no guard objects to.

    Attributes:
        asked: The question.
        neighbour: The entry's question, and how near it is.
        rivals: The next nearest, nearest first.
        partition: Theirs.
        key: Of the question: if its answer is kept, it will be an entry by this key.
    """

    asked: str
    neighbour: Neighbour
    rivals: tuple[Neighbour, ...] = ()
    partition: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate may answer.

    Attributes:
        serve: Whether it may.
        reason: Why, or why not: `"similar"` and `"dissimilar"` by a threshold; `"verified"`, `"unsure"` and `"exploring"` by
            what was learned.
        threshold: What was compared with, if something was.
        p_right: Estimated probability that its answer would do, if there is an estimate.
        learn: Whether to compare its answer with the model's once that has come, and hand the outcome to `Decider.learn`.
    """

    serve: bool
    reason: Literal["similar", "dissimilar", "verified", "unsure", "exploring"]
    threshold: float | None = None
    p_right: float | None = None
    learn: bool = False


class Decider(ABC):
    """Says whether a near neighbour may answer. Thread-safe.

    Attributes:
        least: Least similarity at which it may ever say yes; below it nothing is looked at.
    """

    least: float = 0.0

    def bind(self, store: Store, embedder: Callable[[], Embedder | None] = lambda: None) -> Decider:
        """This decider, or one like it, that shares what it learns with others through the store. Plain ones learn nothing.

        Args:
            store: The cache's.
            embedder: Gives the cache's embedder, which may have to be opened first.
        """
        return self

    def prepare(self) -> None:
        """Do what takes a while before the first decision. Called once the embedder is open, off the event loop."""
        return None

    def prefetch(self, candidates: Sequence[Candidate]) -> None:
        """Hear of candidates that will be decided next: one that asks a model does so once for all of them."""

    @abstractmethod
    def decide(self, candidate: Candidate) -> Verdict:
        """Whether the candidate may answer."""

    def same(self, question: str, answer: str, reference: str) -> float:
        """Whether the answer of a candidate would have done beside the model's own: from 0 to 1. Off the hot path."""
        raise NotImplementedError

    def opened(self, candidate: Candidate, verdict: Verdict) -> None:
        """Hear, before anything else about it, that the model's own answer will be compared with a candidate's."""
        return None

    def learn(self, candidate: Candidate, verdict: Verdict, same: float | None) -> None:
        """Hear whether a candidate's answer would have done, from 0 (no) to 1; `None` where the comparison failed."""
        return None

    def gave_up(self, verdict: Verdict) -> None:
        """Hear that the model's own answer never came."""
        return None

    def report(self) -> Mapping[str, Any]:
        """What it knows of its own errors, as plain JSON data."""
        return {}
