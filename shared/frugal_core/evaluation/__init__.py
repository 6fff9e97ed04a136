"""Evaluation: what a policy would have cost, and got right, on recorded answers."""

from frugal_core.evaluation.evaluate import DatasetReport, PolicyReport, SingleReport, evaluate

__all__ = ["DatasetReport", "PolicyReport", "SingleReport", "evaluate"]
