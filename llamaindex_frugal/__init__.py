"""Frugal for LlamaIndex: swap one model object, pay a fraction for the same answers."""

from frugal_core import __version__
from frugal_core.decision import Decision, Step
from frugal_core.errors import ConfigurationError, FrugalError, FrugalWarning, RecordingsError, ScorerError, UnknownModelError
from frugal_core.learning.grading import grade
from frugal_core.policies import Cascade, Policy, RandomRouter, Single
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.policies.hopeless import Hopeless
from frugal_core.policies.thresholds import FixedThreshold, Threshold
from frugal_core.pricing import Price, PriceBook
from frugal_core.scorers import (
    AUTOMIX,
    Agreement,
    Calibrated,
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
from llamaindex_frugal.llms import FrugalLLM
from llamaindex_frugal.recording import arecord, record

__all__ = [
    "AUTOMIX",
    "Agreement",
    "BudgetedThreshold",
    "Calibrated",
    "Cascade",
    "ConfigurationError",
    "Decision",
    "FixedThreshold",
    "FrugalDecisionEvent",
    "FrugalError",
    "FrugalLLM",
    "FrugalTierSkippedEvent",
    "FrugalWarning",
    "Hopeless",
    "LearnedScorer",
    "LogprobQuantile",
    "Margin",
    "MeanLogprob",
    "MinLogprob",
    "Policy",
    "Price",
    "PriceBook",
    "RandomRouter",
    "RecordingsError",
    "SchemaValid",
    "Scorer",
    "ScorerError",
    "SelfConsistency",
    "SelfVerification",
    "Single",
    "Step",
    "Threshold",
    "UnknownModelError",
    "__version__",
    "arecord",
    "grade",
    "record",
]
