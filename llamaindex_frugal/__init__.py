"""Frugal for LlamaIndex: swap one model object, pay a fraction for the same answers."""

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
from llamaindex_frugal.events import FrugalDecisionEvent, FrugalTierSkippedEvent
from llamaindex_frugal.judge import LLMJudge
from llamaindex_frugal.llms import FrugalLLM
from llamaindex_frugal.recording import arecord, record
from llamaindex_frugal.recording_handler import RecordingHandler
from llamaindex_frugal.smart_job import SmartJob

if TYPE_CHECKING:
    from frugal_core.cache import Fixed, SemanticCache, cache_options, open_store
    from frugal_core.learning.fit import fit
    from llamaindex_frugal.cached_llm import CachedLLM
    from llamaindex_frugal.query_engine import CachedQueryEngine, SemanticCacheQueryEngine
    from llamaindex_frugal.vector_store import VectorStoreBackend

__all__ = [
    "AUTOMIX",
    "Agreement",
    "Audit",
    "AuditReport",
    "Audited",
    "BudgetedThreshold",
    "CachedLLM",
    "CachedQueryEngine",
    "Calibrated",
    "Candidate",
    "Cascade",
    "CascadeRouter",
    "ConfigurationError",
    "CrossEncoderScorer",
    "Decision",
    "FactorisationPredictor",
    "Fitted",
    "Fixed",
    "FixedThreshold",
    "FrugalDecisionEvent",
    "FrugalError",
    "FrugalLLM",
    "FrugalTierSkippedEvent",
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
    "SemanticCacheQueryEngine",
    "Single",
    "SmartJob",
    "Step",
    "Threshold",
    "UnknownModelError",
    "VectorStoreBackend",
    "__version__",
    "arecord",
    "cache_options",
    "fit",
    "grade",
    "open_store",
    "record",
]


_LATER = {
    "CachedLLM": "llamaindex_frugal.cached_llm",
    "CachedQueryEngine": "llamaindex_frugal.query_engine",
    "Fixed": "frugal_core.cache",
    "SemanticCache": "frugal_core.cache",
    "SemanticCacheQueryEngine": "llamaindex_frugal.query_engine",
    "VectorStoreBackend": "llamaindex_frugal.vector_store",
    "cache_options": "frugal_core.cache",
    "fit": "frugal_core.learning.fit",
    "open_store": "frugal_core.cache",
}
"""Imported when they are used: numpy, which some of them need, takes longer than all the rest."""


def __getattr__(name: str) -> Any:
    """Import it when it is used."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
