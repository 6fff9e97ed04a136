"""What a family of policies has learned: its members from the cheapest to the dearest, replayed all at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from frugal_core.learning.columns import Floats
from frugal_core.learning.setting import Setting
from frugal_core.policies.base import Policy


@dataclass(frozen=True)
class Replayed:
    """What policies would have done with recorded queries.

    Attributes:
        quality: Shape (policies, queries): quality of the served answer, in [0, 1].
        cost: Shape (policies, queries): cost of all calls.
        served: Shape (policies, queries): index of the model whose answer was served.
        calls: Shape (policies, models): calls per query.
    """

    quality: Floats
    cost: Floats
    served: npt.NDArray[np.int64]
    calls: Floats


class Path(ABC):
    """Policies of one family, by rising expected cost; each of them can be served.

    What is expected of them was measured on rows that taught them nothing, by cross-fitting, so that the best may be chosen.

    Attributes:
        family: Name of the family.
        models: Names of the models, as in the setting it was learned from.
        cost: Shape (policies,): expected cost per query.
        quality: Shape (policies,): expected quality.
    """

    family: str
    models: tuple[str, ...]
    cost: Floats
    quality: Floats

    @abstractmethod
    def replay(self, setting: Setting) -> Replayed:
        """What every policy would have done, on recordings of the same models in the same order.

        It is what driving `policy(place)` over the recorded answers gives, only faster.
        """

    @abstractmethod
    def policy(self, place: int) -> Policy:
        """One of the policies, ready to serve."""


@runtime_checkable
class Estimating(Protocol):
    """A path that learned how likely each answer is right."""

    def probabilities(self, setting: Setting) -> Floats:
        """P(right) of recorded answers of the same models.

        Returns:
            Shape (queries, models); NaN where there is no saying.
        """


class Family(Protocol):
    """A kind of policy that can be learned from recordings."""

    @property
    def name(self) -> str:
        """Of the family, for reports."""

    def fit(self, setting: Setting) -> Path:
        """Learn from all rows of a setting.

        Raises:
            RecordingsError: The recordings lack what this family needs (a signal, texts, enough rows): the message says what.
        """
