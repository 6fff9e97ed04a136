"""Scorers: how confident to be in an answer."""

from frugal_core.scorers.agreement import Agreement
from frugal_core.scorers.base import Both, Either, OrElse, Scorer
from frugal_core.scorers.calibrated import Calibrated
from frugal_core.scorers.consistency import SelfConsistency
from frugal_core.scorers.cross_encoder import CrossEncoderScorer
from frugal_core.scorers.learned import LearnedScorer
from frugal_core.scorers.logprobs import LogprobQuantile, MeanLogprob, MinLogprob
from frugal_core.scorers.margin import Margin
from frugal_core.scorers.schema import SchemaValid
from frugal_core.scorers.verification import AUTOMIX, SelfVerification

__all__ = [
    "AUTOMIX",
    "Agreement",
    "Both",
    "Calibrated",
    "CrossEncoderScorer",
    "Either",
    "LearnedScorer",
    "LogprobQuantile",
    "Margin",
    "MeanLogprob",
    "MinLogprob",
    "OrElse",
    "SchemaValid",
    "Scorer",
    "SelfConsistency",
    "SelfVerification",
]
