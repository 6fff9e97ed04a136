"""Batch jobs whose models differ from the reference on known items, some of them at the rates that SMART's paper gives."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from frugal_core.learning.smart import Batch, Outcome, Smart

USD = {"large": 0.01, "small": 0.001, "tiny": 0.0001}


def outcomes(batch, wrong, usd=USD):
    """Outcomes of a batch; `wrong` has, for each model, the items it differs on."""
    return [Outcome(i, model, usd[model], i not in wrong.get(model, ())) for i in batch.items for model in batch.models]


def run(job, wrong, usd=USD):
    """The plan, and what profiling cost."""
    spent = 0.0
    while isinstance(step := job.next(), Batch):
        done = outcomes(step, wrong, usd)
        spent += sum(outcome.usd for outcome in done)
        job.receive(done)
    return step, spent


def scatter(rng, items, share):
    return set(rng.permutation(items)[: round(items * share)].tolist())


def differing(plan, wrong):
    return sum(i in wrong.get(model, ()) for model, items in plan.parts for i in items)


DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
PUBLISHED = DATA / "anchors" / "other_published_numbers.json"


def published(dataset):
    """Number of items, and by model its cost of an item in USD and its agreement with gpt-4."""
    rows = [row for entry in json.loads(PUBLISHED.read_text()) for row in entry["rows"]]
    rows = [row for row in rows if row.get("dataset") == dataset and "conformity" in row]
    costs = {row["model"]: float(row["cost"]) / int(row["nr_processed"]) for row in rows}
    return int(rows[0]["nr_items"]), costs, {row["model"]: float(row["conformity"]) for row in rows}


def replayed(dataset, bound, seed):
    """A job at the published rates: how many times cheaper than the reference alone, outputs that differ, outputs that may."""
    items, usd, agreement = published(dataset)
    rng = np.random.default_rng(seed)
    wrong = {model: scatter(rng, items, 1 - share) for model, share in agreement.items() if model != "gpt-4"}
    plan, spent = run(Smart(list(wrong), "gpt-4", items, bound, batch=10, seed=seed), wrong, usd)
    return items * usd["gpt-4"] / (spent + plan.expected_usd), differing(plan, wrong), plan.allowed
