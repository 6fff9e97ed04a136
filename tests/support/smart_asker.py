"""Models for batch jobs whose every answer a test decides: in place of a framework's, and fit to be sent to other processes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from frugal_core.learning import smart_run
from frugal_core.pricing import Price
from frugal_core.types import Answer, Message, Query, Tier, Usage

USD = {"tiny": 0.001, "small": 0.01, "large": 0.1}


class Crash(BaseException):
    """What no model raises."""


class Untransportable(Exception):
    """As exceptions of providers are: it cannot be made from its message, so no other process can read it."""

    def __init__(self, model, words):
        super().__init__(f"{model} {words}")


def fails_for_some(model, text):
    return Untransportable(model, "is out") if model == "small" and text.endswith("7") else None


def texts(count):
    return [f"item {number}" for number in range(count)]


@dataclass
class Scripted:
    """Models that cost what `usd` says, the last being the reference.

    Attributes:
        wrong: By model, the items on which it differs from the reference.
        say: What a model says instead of its usual answer: a text, an `Answer`, an exception to raise, or `None`.
        counter: A file that has a line for every call, whichever process makes it.
        kill_after: The process dies, as by SIGKILL, in its call after so many.
    """

    usd: dict = field(default_factory=lambda: {"small": 0.01, "large": 0.1})
    wrong: dict = field(default_factory=dict)
    say: Callable | None = None
    counter: str | None = None
    kill_after: int | None = None
    calls: list = field(default_factory=list)
    finals: set = field(default_factory=set)

    def __post_init__(self):
        self.lock = threading.Lock()
        self.running = self.most = 0

    def __reduce__(self):
        return Scripted, (self.usd, self.wrong, self.say, self.counter, self.kill_after)

    @property
    def tiers(self):
        prices = {name: None if usd is None else Price(0.0, 0.0, request=usd) for name, usd in self.usd.items()}
        return tuple(Tier(name, name, price) for name, price in prices.items())

    def read(self, given):
        return Query([Message("user", given)], self.tiers)

    def ask(self, asked):
        name, text = self.tiers[asked.tier].name, asked.item.text
        with self.lock:
            self.calls.append((name, text))
            self.finals.add(asked.final)
            self.running += 1
            self.most = max(self.most, self.running)
            count = len(self.calls)
            if self.counter:
                with Path(self.counter).open("a") as file:
                    file.write(f"{name} {text}\n")
        try:
            if self.kill_after is not None and count > self.kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            said = self.say(name, text) if self.say else None
            if isinstance(said, BaseException):
                raise said
        finally:
            with self.lock:
                self.running -= 1
        if isinstance(said, Answer):
            return said
        number = int(text.split()[-1]) if text.startswith("item ") else -1
        usual = f"{text}, says {name}" if number in self.wrong.get(name, ()) else f"{text}."
        return Answer(usual if said is None else said, usage=Usage(4, 2), cost_usd=self.usd[name], latency_s=0.25)

    async def aask(self, asked):
        await asyncio.sleep(0)
        answer = self.ask(asked)
        await asyncio.sleep(0)  # paid for, and not here yet
        return answer


async def play(how, asker, items, path, bound=0.1, confidence=0.95, executor=None, **options):
    """Run a job."""
    job = smart_run.SmartRun(asker, items, bound, confidence, path, {"progress": False, **options})
    return job.run(executor) if how == "sync" else await job.arun()


def differing(result, asker, reference="large"):
    """How many outputs differ from the reference's."""
    served = [(output.model, number) for number, output in enumerate(result.outputs)]
    return sum(number in asker.wrong.get(model, ()) for model, number in served if model != reference)
