"""Predictors: from a query alone to how well each model will answer it."""

from frugal_core.predictors.base import LearnedPredictor, Predictor, cross_fit
from frugal_core.predictors.factorisation import FactorisationPredictor
from frugal_core.predictors.hybrid import HybridPredictor
from frugal_core.predictors.neighbours import NeighbourPredictor
from frugal_core.predictors.performance import PerformancePredictor
from frugal_core.predictors.random import RandomPredictor

__all__ = [
    "FactorisationPredictor",
    "HybridPredictor",
    "LearnedPredictor",
    "NeighbourPredictor",
    "PerformancePredictor",
    "Predictor",
    "RandomPredictor",
    "cross_fit",
]
