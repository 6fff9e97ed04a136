"""A bound on how often served answers differ from the reference's: Learn then Test, on a fixed sequence.

Candidates are ordered beforehand, on other rows, from the safest to the riskiest. On calibration rows that nothing else has
touched, each is tested against H0: its risk exceeds the bound. The walk ends at the first one that is not proved; the last
proved one is certified. Since the order was fixed, no correction for the number of candidates is due: only if the *first* truly
bad one in the order passes its own test can a bad one be certified, and it does so with probability at most 1 − confidence.

This holds for any policies and any number of them, as long as future queries come from where the calibration rows came from.

Source: Angelopoulos, Bates, Candès, Jordan, Lei, "Learn then Test" (arXiv 2110.01052), §2.3 (fixed sequence testing).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.bounds import hoeffding_bentkus_bound, log_binomial_cdf, log_hoeffding_bentkus, upper_bound
from frugal_core.learning.columns import Floats
from frugal_core.saving import saveable

REFERENCE = "reference"


@saveable("guarantee")
@dataclass(frozen=True)
class Guarantee:
    """The certificate of one walk.

    With probability `confidence` over the calibration rows, the risk of what `label` names is at most `max_disagreement`. That
    is all that is proved; `bound` and the counts are the evidence.

    Attributes:
        label: What is certified; "reference" when nothing else could be.
        index: Its place among the candidates, from the safest; `None` for the reference.
        max_disagreement: The bound that was asked for: largest mean loss, in (0, 1).
        confidence: Chance that the certificate is right, in (0, 1).
        rows: How many calibration rows there were.
        loss: Sum of the losses of what is certified; 0 for the reference.
        p_values: Of each candidate that was tested, in order. The last one failed, unless all passed.
        bound: Upper confidence bound on the risk, had what is certified been the only candidate; 0 for the reference.
        method: "binomial" (exact, losses 0 and 1) or "hoeffding-bentkus" (losses in [0, 1]).
    """

    label: str
    index: int | None
    max_disagreement: float
    confidence: float
    rows: int
    loss: float
    p_values: Sequence[float]
    bound: float
    method: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "p_values", tuple(self.p_values))
        _check_level(self.max_disagreement, self.confidence)

    @property
    def certified(self) -> bool:
        """Whether anything but the reference may be served."""
        return self.index is not None

    def __str__(self) -> str:
        asked = f"at most {self.max_disagreement:.3g} with confidence {self.confidence:.3g}"
        if not self.certified:
            return (
                f"Nothing cheaper is proved to differ from the reference {asked}: the reference is served. The safest "
                f"candidate had p = {self.p_values[0]:.3g} on {self.rows} rows, {1 - self.confidence:.3g} was needed."
            )
        return (
            f"{self.label!r} differs from the reference {asked}: {self.loss:g} of {self.rows} calibration rows did "
            f"(p = {self.p_values[self.index or 0]:.3g}, upper bound {self.bound:.3g})."
        )


def certify(losses: npt.ArrayLike, labels: Sequence[str], max_disagreement: float, confidence: float = 0.95) -> Guarantee:
    """Walk candidates from the safest to the riskiest and certify the last one before the first that is not proved.

    Args:
        losses: Shape (candidates, rows): loss of each candidate on each calibration row, in [0, 1]; 1 where its answer differs
            from the reference's. Candidates and their order must have been chosen without these rows.
        labels: A name for each candidate.
        max_disagreement: Largest mean loss, in (0, 1).
        confidence: In (0, 1).

    Returns:
        What is certified; the reference when nothing is.

    Raises:
        ConfigurationError: There are too few rows to prove this bound whatever they show (the message says how many are
            needed), or the losses are malformed.

    >>> safe, risky = [0.0] * 99 + [1.0], [0.0] * 90 + [1.0] * 10
    >>> certify([safe, risky], ["safe", "risky"], 0.05).label
    'safe'
    """
    table = _table(losses, labels)
    rows = table.shape[1]
    needed = rows_needed(max_disagreement, confidence)
    if rows < needed:
        raise ConfigurationError(
            f"{rows} calibration rows cannot prove a disagreement of at most {max_disagreement:g} with confidence "
            f"{confidence:g}: at least {needed} are needed, and more to allow for answers that differ. Record more queries, or "
            "ask for less."
        )
    exact = bool(np.all((table == 0) | (table == 1)))
    totals = table.sum(axis=1)
    logs = (log_binomial_cdf if exact else log_hoeffding_bentkus)(totals, rows, max_disagreement)
    p_values = np.exp(logs)
    proved = p_values <= 1 - confidence
    passed = len(proved) if proved.all() else int(np.argmin(proved))
    tested = tuple(map(float, p_values[: passed + 1]))
    method = "binomial" if exact else "hoeffding-bentkus"
    if passed == 0:
        return Guarantee(REFERENCE, None, float(max_disagreement), float(confidence), rows, 0.0, tested, 0.0, method)
    loss, alpha = float(totals[passed - 1]), 1 - confidence
    bound = float(upper_bound(loss, rows, alpha)) if exact else hoeffding_bentkus_bound(loss, rows, alpha)
    return Guarantee(
        labels[passed - 1], passed - 1, float(max_disagreement), float(confidence), rows, loss, tested, bound, method
    )


def rows_needed(max_disagreement: float, confidence: float = 0.95, loss: int = 0) -> int:
    """How many calibration rows can prove a bound, if so many of them differ.

    Args:
        max_disagreement: The bound, in (0, 1).
        confidence: In (0, 1).
        loss: How many rows differ from the reference.

    Raises:
        ConfigurationError: An argument is out of range.

    >>> [rows_needed(bound) for bound in (0.01, 0.02, 0.05, 0.10)]
    [299, 149, 59, 29]
    """
    _check_level(max_disagreement, confidence)
    if isinstance(loss, bool) or not isinstance(loss, int) or loss < 0:
        raise ConfigurationError(f"loss={loss!r} must be a whole number of rows, 0 or more.")

    def proves(rows: int) -> bool:
        return float(np.exp(log_binomial_cdf(loss, rows, max_disagreement))) <= 1 - confidence

    low, high = loss, loss + 1
    while not proves(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def descending_thresholds(scores: npt.ArrayLike, steps: int = 50) -> Floats:
    """Thresholds from infinity downwards, each letting a like share of queries more be served by the cheap tier.

    Args:
        scores: Shape (rows,): scores of the cheap tier's answers on tuning rows, not calibration rows; NaN where it has none.
        steps: At most so many finite thresholds; equal ones are merged.

    Returns:
        Shape (thresholds,), falling; the first is infinity (always the reference), the last the lowest score.

    Raises:
        ConfigurationError: `steps` is below 1.

    >>> descending_thresholds([0.1, 0.9, 0.5], 3).tolist()
    [inf, 0.9, 0.5, 0.1]
    """
    if steps < 1:
        raise ConfigurationError(f"steps={steps!r} must be at least 1.")
    known = np.asarray(scores, dtype=np.float64)
    known = np.sort(known[~np.isnan(known)])[::-1]
    if not len(known):
        return np.array([np.inf])
    places = np.ceil(np.linspace(0, len(known), steps + 1)[1:]).astype(int) - 1
    return np.concatenate([[np.inf], np.unique(known[places])[::-1]])


def served_losses(scores: npt.ArrayLike, losses: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """Losses of the answers served by a cheap tier above a threshold and by the reference below it.

    Args:
        scores: Shape (rows,): NaN, where there is none, escalates.
        losses: Shape (rows,): loss of the cheap tier's answer.
        thresholds: Shape (candidates,).

    Returns:
        Shape (candidates, rows): what `certify` takes.

    Raises:
        ConfigurationError: The shapes differ.

    >>> served_losses([0.9, 0.2], [1, 1], [float("inf"), 0.5]).tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    score, loss = np.asarray(scores, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if score.ndim != 1 or score.shape != loss.shape:
        raise ConfigurationError(f"scores of shape {score.shape} and losses of shape {loss.shape} must both be (rows,).")
    accepted = score[None, :] >= np.asarray(thresholds, dtype=np.float64)[:, None]
    result: Floats = np.where(accepted, loss[None, :], 0.0)
    return result


def safest_first(losses: npt.ArrayLike, costs: npt.ArrayLike) -> list[int]:
    """Order any candidates for `certify`, from tuning rows: ever riskier, ever cheaper, what is neither left out.

    Args:
        losses: Shape (candidates, rows): on tuning rows, not calibration rows.
        costs: Shape (candidates,) or (candidates, rows).

    Returns:
        Indices of candidates.

    Raises:
        ConfigurationError: The shapes differ.

    >>> safest_first([[0, 0], [1, 0], [1, 1], [1, 0]], [4.0, 2.0, 3.0, 1.0])
    [0, 3]
    """
    loss, cost = np.asarray(losses, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if loss.ndim != 2 or cost.shape not in (loss.shape, loss.shape[:1]):
        raise ConfigurationError(f"losses of shape {loss.shape} and costs of shape {cost.shape} do not fit.")
    risk, price = loss.mean(axis=1), cost if cost.ndim == 1 else cost.mean(axis=1)
    chosen, cheapest = [], math.inf
    for i in np.lexsort((price, risk)):
        if price[i] < cheapest:
            chosen.append(int(i))
            cheapest = float(price[i])
    return chosen


def _table(losses: npt.ArrayLike, labels: Sequence[str]) -> Floats:
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2 or not table.shape[0] or len(labels) != table.shape[0]:
        raise ConfigurationError(f"losses of shape {table.shape} for {len(labels)} labels must be (candidates, rows).")
    if not np.all((table >= 0) & (table <= 1)):
        row = int(np.argwhere(~((table >= 0) & (table <= 1)))[0][1])
        raise ConfigurationError(
            f"The losses of row {row} are not all numbers from 0 to 1. Leave out rows that were not judged."
        )
    return table


def _check_level(max_disagreement: float, confidence: float) -> None:
    for name, value, example in (("max_disagreement", max_disagreement, 0.05), ("confidence", confidence, 0.95)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise ConfigurationError(f"{name}={value!r} is out of range: it lies between 0 and 1, such as {example}.")
