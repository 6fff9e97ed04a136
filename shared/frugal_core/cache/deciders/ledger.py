"""How many wrong answers were served, as audits tell: an estimate without a model, and a bound that holds at all times."""

from __future__ import annotations

import math

ALPHA = 0.05
"""Chance that the bound ever fails."""

_BOLDNESS = 0.8
_SLOW = 0.05


class Ledger:
    """Adds up what audits of would-be hits found.

    Every candidate that is good enough to be served is audited with a probability `share` that was fixed before a coin of our
    own was tossed: then it is not served, and its answer is compared. Whether an answer is wrong (its loss, from 0 to 1) has
    nothing to do with that coin. So, whatever the traffic, whatever the model, and whenever one looks,

    - (1 − share) / share · loss, summed over audits, is an unbiased estimate of the losses served: the difference is a
      martingale (Horvitz and Thompson, 1952);
    - exp(sum of rate · loss served − sum of penalty · loss audited) is a supermartingale where
      (1 − share) · exp(rate) + share · exp(−penalty) = 1, so that by Ville's inequality
      losses served <= (log(1/alpha) + sum of penalty · loss audited) / rate at all times at once, with probability 1 − alpha.
      The rate is one for all, and falls as less is audited; losses in [0, 1] are covered by convexity.

    Attributes:
        requests: How many had a neighbour.
        hits: How many were served.
        audits: Would-be hits that were compared.
        estimate: Estimated losses served.

    >>> ledger = Ledger()
    >>> ledger.count(1000, 400)
    >>> for loss in [0.0] * 99 + [1.0]:
    ...     ledger.audit(0.2, loss, rate_of(0.2))
    >>> ledger.estimate, round(ledger.bounds(400, rate_of(0.2))[1], 1)
    (4.0, 25.3)
    """

    def __init__(self) -> None:
        self.requests = 0
        self.hits = 0
        self.audits = 0
        self.estimate = 0.0
        self._penalties = 0.0
        self._gains = 0.0

    def count(self, requests: int, hits: int) -> None:
        """Requests that were decided, and those among them that were served."""
        self.requests += requests
        self.hits += hits

    def audit(self, share: float, loss: float, rate: float) -> None:
        """A would-be hit that was compared.

        Args:
            share: Probability of its audit, in (0, 1]; at 1 nothing was at stake.
            loss: 1 where its answer would have been wrong, 0 where right.
            rate: Of the bound, when the coin was tossed; see `rate_of`.
        """
        self.audits += 1
        if share < 1:
            self.estimate += (1 - share) / share * loss
            self._penalties += _penalty(share, rate) * loss
            self._gains += _gain(share) * loss

    def bounds(self, hits: int, rate: float) -> tuple[float, float]:
        """Between what the losses served lie; each end holds at all times with probability 1 − `ALPHA`.

        Args:
            hits: How many were served; the losses are no more than they.
            rate: Of the bound, now: no audit so far had a smaller one.
        """
        most = float(hits)
        evidence = math.log(1 / ALPHA)
        low = max(0.0, (self._gains - evidence) / _SLOW)
        high = (evidence + self._penalties) / rate
        return min(low, most), min(high, most)


def rate_of(least_share: float) -> float:
    """The rate of the bound where no audit is rarer than `least_share`."""
    return -_BOLDNESS * math.log1p(-min(least_share, 0.95))


def _penalty(share: float, rate: float) -> float:
    return -math.log(max(1e-12, (1 - (1 - share) * math.exp(rate)) / share))


def _gain(share: float) -> float:
    return math.log((1 - (1 - share) * math.exp(-_SLOW)) / share)
