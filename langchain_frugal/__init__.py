"""Frugal for LangChain: swap one model object, pay a fraction for the same answers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from frugal_core import __version__
from frugal_core.audit import Audit, AuditReport
from frugal_core.decision import Decision, Step
from frugal_core.errors import ConfigurationError, FrugalError, FrugalWarning, RecordingsError, ScorerError, UnknownModelError
from frugal_core.learning.grading import grade
from frugal_core.learning.semantic import SemanticAgreement
from frugal_core.policies import Cascade, CascadeRouter, Policy, RandomRouter, Router, Single
from frugal_core.policies.audited import Audited
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.policies.fitted import Candidate, Fitted
from frugal_core.policies.hopeless import Hopeless
from frugal_core.policies.thresholds import FixedThreshold, Threshold
from frugal_core.predictors import (
    FactorisationPredictor,
    HybridPredictor,
    NeighbourPredictor,
    PerformancePredictor,
    Predictor,
    RandomPredictor,
)
from frugal_core.pricing import Price, PriceBook
from frugal_core.scorers import (
    AUTOMIX,
    Agreement,
    Calibrated,
    CrossEncoderScorer,
    LearnedScorer,
    LogprobQuantile,
    Margin,
    MeanLogprob,
    MinLogprob,
    SchemaValid,
    Scorer,
    SelfConsistency,
    SelfVerification,
)
from langchain_frugal.chat_models import ChatFrugal
from langchain_frugal.judge import LLMJudge
from langchain_frugal.recording import arecord, record
from langchain_frugal.recording_handler import RecordingHandler
from langchain_frugal.smart_job import SmartJob

if TYPE_CHECKING:
    from frugal_core.cache import Fixed, SemanticCache, Verified, cache_options, open_store
    from frugal_core.learning.fit import fit
    from langchain_frugal.cache_middleware import SemanticCacheMiddleware
    from langchain_frugal.cached_chain import CachedChain
    from langchain_frugal.caches import FrugalCache
    from langchain_frugal.vector_store import VectorStoreBackend

__all__ = [
    "AUTOMIX",
    "Agreement",
    "Audit",
    "AuditReport",
    "Audited",
    "BudgetedThreshold",
    "CachedChain",
    "Calibrated",
    "Candidate",
    "Cascade",
    "CascadeRouter",
    "ChatFrugal",
    "ConfigurationError",
    "CrossEncoderScorer",
    "Decision",
    "FactorisationPredictor",
    "Fitted",
    "Fixed",
    "FixedThreshold",
    "FrugalCache",
    "FrugalError",
    "FrugalWarning",
    "Hopeless",
    "HybridPredictor",
    "LLMJudge",
    "LearnedScorer",
    "LogprobQuantile",
    "Margin",
    "MeanLogprob",
    "MinLogprob",
    "NeighbourPredictor",
    "PerformancePredictor",
    "Policy",
    "Predictor",
    "Price",
    "PriceBook",
    "RandomPredictor",
    "RandomRouter",
    "RecordingHandler",
    "RecordingsError",
    "Router",
    "SchemaValid",
    "Scorer",
    "ScorerError",
    "SelfConsistency",
    "SelfVerification",
    "SemanticAgreement",
    "SemanticCache",
    "SemanticCacheMiddleware",
    "Single",
    "SmartJob",
    "Step",
    "Threshold",
    "UnknownModelError",
    "VectorStoreBackend",
    "Verified",
    "__version__",
    "arecord",
    "cache_options",
    "fit",
    "grade",
    "open_store",
    "record",
]


_LAZY = {
    "CachedChain": "langchain_frugal.cached_chain",
    "Fixed": "frugal_core.cache",
    "FrugalCache": "langchain_frugal.caches",
    "SemanticCache": "frugal_core.cache",
    "SemanticCacheMiddleware": "langchain_frugal.cache_middleware",
    "VectorStoreBackend": "langchain_frugal.vector_store",
    "Verified": "frugal_core.cache",
    "cache_options": "frugal_core.cache",
    "fit": "frugal_core.learning.fit",
    "open_store": "frugal_core.cache",
}
"""Where what is seldom used is at home: imported when it is used, since with numpy it takes longer than all the rest."""


def __getattr__(name: str) -> Any:
    """Import it when it is used."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
