"""How many wrong answers were served, as audits tell: an estimate without a model, and a bound that holds at all times."""

from __future__ import annotations

import math
from typing import NamedTuple

ALPHA = 0.05
"""Chance that the bound ever fails."""

_BOLDNESS = 0.8
_SLOW = 0.05


class OpenAudit(NamedTuple):
    """An audit whose outcome is not known yet, or never will be.

    Attributes:
        share: Probability of the audit.
        rate: Of the bound, when the coin was tossed.
        since_s: When it began, in seconds of the wall clock.
    """

    share: float
    rate: float
    since_s: float


class AuditAccount:
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

    An audit without an outcome must not count as if it had found nothing. One that is open, whoever began it, is at risk: a
    loss until the contrary is known. One whose comparison failed is a loss. One that brought no answer at all is at risk until
    a later one that did answers for it, as if missing answers were like those that come at that time; each answers for no
    more than it weighs itself, so that nothing is made good where most are missing. Where answers are missing, estimate and
    upper bound rest on that likeness.

    Attributes:
        requests: How many had a neighbour.
        hits: How many were served.
        audits: Would-be hits that were compared.
        estimate: Estimated losses served, apart from what is at risk.

    >>> account = AuditAccount()
    >>> account.count(1000, 400)
    >>> for loss in [0.0] * 99 + [1.0]:
    ...     account.audit(0.2, loss, rate_of(0.2))
    >>> account.estimate, round(account.bounds(400, rate_of(0.2))[1], 1)
    (4.0, 25.3)
    """

    def __init__(self) -> None:
        self.requests = 0
        self.hits = 0
        self.audits = 0
        self.estimate = 0.0
        self._open: dict[str, OpenAudit] = {}
        self._open_jumps = 0.0
        self._unanswered = 0.0
        self._penalties = 0.0
        self._gains = 0.0

    @property
    def at_risk(self) -> float:
        """What audits without an outcome would add to the estimate if each had found a loss."""
        return self._open_jumps + self._unanswered

    def count(self, requests: int, hits: int) -> None:
        """Requests that were decided, and those among them that were served."""
        self.requests += requests
        self.hits += hits

    def begin(self, name: str, audit: OpenAudit) -> None:
        """An audit whose outcome is to come.

        Args:
            name: Its own, whoever began it.
            audit: Its share is below 1.
        """
        self._end(name)
        self._open[name] = audit
        self._open_jumps += jump_of(audit.share)

    def give_up(self, name: str, share: float) -> None:
        """No answer came to compare with."""
        self._unanswered += jump_of(share)
        self._end(name)

    def audit(self, share: float, loss: float | None, rate: float, name: str = "") -> None:
        """A would-be hit whose answer came.

        Args:
            share: Probability of its audit, in (0, 1]; at 1 nothing was at stake.
            loss: 1 where its answer would have been wrong, 0 where right; `None` where the comparison failed: a loss.
            rate: Of the bound, when the coin was tossed; see `rate_of`.
            name: As it was begun.
        """
        self.audits += 1
        if share < 1:
            jump = jump_of(share)
            others = 0.0 if loss is None else min(self._unanswered, jump)
            found = 1.0 if loss is None else loss
            self.estimate += (jump + others) * found
            self._penalties += _penalty(share, rate) * (1 + others / jump) * found
            self._gains += 0.0 if loss is None else _gain(share) * loss
            self._unanswered -= others
        self._end(name)  # last: who looks at this moment sees too much rather than too little

    def _end(self, name: str) -> None:
        audit = self._open.pop(name, None)
        if audit is not None:
            self._open_jumps = max(0.0, self._open_jumps - jump_of(audit.share)) if self._open else 0.0

    def lost(self, before_s: float) -> float:
        """What audits that began before `before_s` and are open yet would add to the estimate as losses."""
        return sum(jump_of(audit.share) for audit in list(self._open.values()) if audit.since_s < before_s)

    def bounds(self, hits: int, rate: float) -> tuple[float, float]:
        """Between what the losses served lie; each end holds at all times with probability 1 − `ALPHA`.

        Args:
            hits: How many were served; the losses are no more than they.
            rate: Of the bound, now: no audit so far had a smaller one.
        """
        most = float(hits)
        evidence = math.log(1 / ALPHA)
        low = max(0.0, (self._gains - evidence) / _SLOW)
        missing = sum(_penalty(audit.share, audit.rate) for audit in list(self._open.values()))
        high = (evidence + self._penalties + missing) / rate + self._unanswered
        return min(low, most), min(high, most)


def jump_of(share: float) -> float:
    """By how much a loss raises the estimate."""
    return (1 - share) / share


def rate_of(least_share: float) -> float:
    """The rate of the bound where no audit is rarer than `least_share`."""
    return -_BOLDNESS * math.log1p(-min(least_share, 0.95))


def _penalty(share: float, rate: float) -> float:
    return -math.log(max(1e-12, (1 - (1 - share) * math.exp(rate)) / share))


def _gain(share: float) -> float:
    return math.log((1 - (1 - share) * math.exp(-_SLOW)) / share)
