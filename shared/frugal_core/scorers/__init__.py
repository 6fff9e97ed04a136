"""Scorers: how confident to be in an answer."""

from frugal_core.scorers.base import Both, Either, OrElse, Scorer
from frugal_core.scorers.logprobs import LogprobQuantile, MeanLogprob, MinLogprob
from frugal_core.scorers.margin import Margin
from frugal_core.scorers.schema import SchemaValid

__all__ = ["Both", "Either", "LogprobQuantile", "Margin", "MeanLogprob", "MinLogprob", "OrElse", "SchemaValid", "Scorer"]
