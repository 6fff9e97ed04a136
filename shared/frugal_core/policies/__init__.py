"""Policies: who is asked, in which order, and whose answer is served."""

from frugal_core.policies.base import Policy
from frugal_core.policies.cascade import Cascade
from frugal_core.policies.cascade_router import CascadeRouter
from frugal_core.policies.random_router import RandomRouter
from frugal_core.policies.router import Router
from frugal_core.policies.single import Single

__all__ = ["Cascade", "CascadeRouter", "Policy", "RandomRouter", "Router", "Single"]
