"""What importing the plugin costs, against importing the framework's chat models alone, side by side in one run.

python tests/benchmarks/import_time.py [--rounds 15]
"""

import argparse
import statistics
import subprocess
import sys
from time import perf_counter

BASE = "import langchain_core.language_models.chat_models"
OWN = "import langchain_frugal"


def seconds(statement: str) -> float:
    since = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return perf_counter() - since


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for statement in (BASE, OWN):  # warm up
        seconds(statement)
    pairs = [(seconds(BASE), seconds(OWN)) for _ in range(rounds)]
    ratio = statistics.median(own / base for base, own in pairs)
    print(f"{OWN}: {ratio:.2f} x {BASE} ({statistics.median(base for base, _ in pairs):.2f} s, medians of {rounds})")


if __name__ == "__main__":
    main()
