"""A policy that is watched, and gives way to the reference once it is found to break its promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frugal_core.audit import Audit
from frugal_core.decision import Trace
from frugal_core.engine import Flow
from frugal_core.errors import ConfigurationError
from frugal_core.policies.base import Policy
from frugal_core.types import Call, Query, Tier


@dataclass(frozen=True)
class Audited(Policy):
    """Decides as its policy does; after the audit's alarm, asks only the reference.

    Its decisions are the policy's own, and so is what tells it apart in caches. After the alarm their reason is
    `"audit_alarm"`, and answers that were cached before are not found any more. A wrapper makes it of its argument `audit`.

    Attributes:
        policy: Who decides.
        audit: Who watches.

    Raises:
        ConfigurationError: One of them is something else, or the policy is audited already.
    """

    policy: Policy
    audit: Audit

    def __post_init__(self) -> None:
        if not isinstance(self.audit, Audit):
            raise ConfigurationError(f"audit={self.audit!r} must be an Audit, such as Audit(0.05, path='audit.jsonl').")
        if not isinstance(self.policy, Policy) or isinstance(self.policy, Audited):
            raise ConfigurationError(f"policy={self.policy!r} must be a policy that is not audited yet. Give one audit.")

    @property
    def name(self) -> str:
        """The policy's own; `"audited"` after the alarm."""
        return "audited" if self.audit.alarm else self.policy.name

    @property
    def version(self) -> str:
        """The policy's own; another one after the alarm."""
        return f"{self.policy.version}!" if self.audit.alarm else self.policy.version

    @property
    def identity(self) -> str:
        """The policy's own; another one after the alarm."""
        return f"audited:{self.policy.identity}" if self.audit.alarm else self.policy.identity

    @property
    def needs_logprobs(self) -> bool:
        """As the policy."""
        return self.policy.needs_logprobs

    def check(self, tiers: Sequence[Tier]) -> None:
        """As the policy."""
        self.policy.check(tiers)

    def decide(self, query: Query) -> Flow:
        """The policy's flow; after the alarm, one final call to the reference."""
        return self._fall_back(query) if self.audit.alarm else self.policy.decide(query)

    def save(self, path: str | Path) -> None:
        """Not done: evidence stands in the audit's own file.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "An audited policy is not saved, since its evidence stands in the audit's file. Save its policy, "
            f"audited.policy.save({str(path)!r}), and give audit=… again where it is loaded."
        )

    def _fall_back(self, query: Query) -> Flow:
        trace = Trace(self, query)
        answer = yield Call(query.reference % len(query.tiers), query, final=True)
        trace.answered(answer, "audit_alarm", accepted=True)
        return trace.close(answer)
