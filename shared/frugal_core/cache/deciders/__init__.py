"""Whether a near neighbour may answer."""

from frugal_core.cache.deciders.base import Candidate, Decider, Verdict
from frugal_core.cache.deciders.fixed import Fixed
from frugal_core.cache.deciders.verified import Verified

__all__ = ["Candidate", "Decider", "Fixed", "Verdict", "Verified"]
