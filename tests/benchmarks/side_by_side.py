"""Times contestants side by side: each once a round, in turn; a ratio is taken within its round, and their median is shown."""

import gc
import statistics
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any

Seconds = dict[str, dict[str, list[float]]]
"""Seconds per call, by way of calling and contestant, one for each round."""


def timed(call: Callable[[], Any], times: int) -> float:
    since = perf_counter()
    for _ in range(times):
        call()
    return (perf_counter() - since) / times


async def atimed(call: Callable[[], Awaitable[Any]], times: int) -> float:
    since = perf_counter()
    for _ in range(times):
        await call()
    return (perf_counter() - since) / times


def measure(
    contestants: Mapping[str, Any], ways: Mapping[str, Callable[[Any], float]], rounds: Callable[[str], int]
) -> Seconds:
    seconds: Seconds = {way: {name: [] for name in contestants} for way in ways}
    for way, run in ways.items():
        for contestant in contestants.values():  # warm up
            run(contestant)
        for _ in range(rounds(way)):
            for name, contestant in contestants.items():
                gc.collect()
                seconds[way][name].append(run(contestant))
    return seconds


def show(seconds: Seconds, base: str) -> None:
    """Print the table of ratios to `base`, and what one call of it took."""
    print(f"| | {' | '.join(seconds)} |")
    print(f"|---|{'---|' * len(seconds)}")
    for name in next(iter(seconds.values())):
        ratios = [
            statistics.median(own / direct for own, direct in zip(times[name], times[base], strict=True))
            for times in seconds.values()
        ]
        print(f"| {name} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    per_call = statistics.median(next(iter(seconds.values()))[base]) * 1e6
    print(f"\nOne call of {base!r} took {per_call:.0f} µs (median).")
