"""What SMART saves at the agreement rates that its paper gives, under rules that hold at every look.

    python tests/benchmarks/smart.py [--seeds 20]

FRUGAL_DATA says where the published rates are. A saving is the cost of the reference alone over that of the job, profiling
included; items differ at random at the published rates, a seed decides which.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "support"))

from smart_jobs import replayed

SETTINGS = {"sms_spam": (0.2, "25.6"), "imdb": (0.06, "5.0"), "ag_news": (0.1, "none given")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    print("| setting | may differ | median saving | quartiles | paper | jobs that broke the bound |")
    print("|---|---|---|---|---|---|")
    for dataset, (bound, paper) in SETTINGS.items():
        done = [replayed(dataset, bound, seed) for seed in seeds]
        low, median, high = np.percentile([saving for saving, _, _ in done], [25, 50, 75])
        broken = sum(differ > allowed for _, differ, allowed in done)
        print(f"| {dataset} | {bound:.0%} | {median:.1f} | {low:.1f} to {high:.1f} | {paper} | {broken} of {len(seeds)} |")


if __name__ == "__main__":
    main()
