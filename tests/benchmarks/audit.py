"""How soon an audit finds a broken promise, and how often it is alarmed by a kept one, on simulated losses.

    python tests/benchmarks/audit.py

The promise is that 5% of the answers differ at most; the alarm is raised at 95% confidence, at whatever look.
"""

import numpy as np

from frugal_core.learning.eprocess import log_evidence

LIMIT, CONFIDENCE = 0.05, 0.95
NEEDED = -np.log(1 - CONFIDENCE)
STREAMS = ((0.05, 1000, 2000), (0.075, 300, 2000), (0.10, 300, 1000), (0.15, 300, 500))
"""Share of answers that differ, streams, audited queries of each."""
DRIFTS = (200, 1000, 5000)
GOOD, BAD, AFTER = 0.02, 0.15, 2500


def first_alarm(losses, before=0):
    """Shape (streams,): audited queries until the alarm, not counting the first `before`; infinite where there is none."""
    totals = losses.cumsum(axis=1)[:, before:]
    alarmed = log_evidence(totals, np.arange(before + 1, losses.shape[1] + 1), LIMIT) >= NEEDED
    return np.where(alarmed.any(axis=1), alarmed.argmax(axis=1) + 1.0, np.inf)


def main():
    rng = np.random.default_rng(0)
    print("| differ | streams x audited queries | alarmed | median audited queries to the alarm |\n|---|---|---|---|")
    for share, streams, looks in STREAMS:
        first = first_alarm(rng.random((streams, looks)) < share)
        print(f"| {share:.1%} | {streams} x {looks} | {np.isfinite(first).mean():.1%} | {np.median(first):.0f} |", flush=True)
    print(f"\n| audited queries at {GOOD:.0%} | then at {BAD:.0%}: median audited queries to the alarm |\n|---|---|")
    for good in DRIFTS:
        losses = np.concatenate([rng.random((60, good)) < GOOD, rng.random((60, AFTER)) < BAD], axis=1)
        print(f"| {good} | {np.median(first_alarm(losses, good)):.0f} |", flush=True)


if __name__ == "__main__":
    main()
