"""Evaluation: what a policy would have cost, and got right, on recorded answers.

`evaluate` measures plain cascades; `evaluate_policies` learns whole families of policies on some queries and measures them on
the others:

    report = evaluate_policies(ready(recordings), chosen_families(["all"]), folds=5)
    Path("report.html").write_text(html_report([report], []))
"""

from frugal_core.evaluation.evaluate import DatasetReport, PolicyReport, SingleReport, evaluate
from frugal_core.evaluation.families import chosen_families
from frugal_core.evaluation.html_report import html_report
from frugal_core.evaluation.policies import evaluate_policies
from frugal_core.evaluation.policy_figures import FamilyReport, PoliciesReport
from frugal_core.evaluation.policy_report import policies_json
from frugal_core.evaluation.preparation import ready

__all__ = [
    "DatasetReport",
    "FamilyReport",
    "PoliciesReport",
    "PolicyReport",
    "SingleReport",
    "chosen_families",
    "evaluate",
    "evaluate_policies",
    "html_report",
    "policies_json",
    "ready",
]
