"""`frugal demo`: a cascade beside single models and random routing, live, on questions none of the models has seen."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.prompt import Confirm
from rich.syntax import Syntax
from rich.table import Table

from frugal_core.errors import ConfigurationError
from frugal_core.playground.language_model import MODEL_NAMES
from frugal_core.playground.questions import Question, generate, is_correct
from frugal_core.policies import RandomRouter, Single
from frugal_core.pricing import PriceBook
from frugal_core.scorers import Margin
from frugal_core.tokens import count_tokens
from frugal_core.types import Usage
from langchain_frugal.chat_models import ChatFrugal
from langchain_frugal.playground import ChatPlayground

HELP = "ask small and large models real questions through a cascade and show accuracy, cost and decisions"
EPILOG = """\
examples:
  frugal demo                                            the built-in models: no keys, no network
  frugal demo --live openai:gpt-4o-mini openai:gpt-4o    your own models, cheapest first (extra: models); shows the cost first
"""

_QUESTIONS = 300
_LIVE_QUESTIONS = 30
_CALIBRATION = 200
_LOSS = 0.02
"""Accuracy that the calibrated cascade may give up against the large model, on the questions it is calibrated on."""
_BATCH = 20
_CALL_LARGE = 0.3
_SCORER = Margin(tokens=8)
"""Least margin over the first tokens: the answers are short, and an error in any of their tokens is an error."""
_SEED = 2026
_INSTRUCTION = " Reply with the answer only."
_OUTPUT_TOKENS = 20
"""Assumed per answer where the cost of live models is estimated."""


@dataclass(frozen=True)
class Result:
    """What a policy did with the questions.

    Attributes:
        name: For the table.
        messages: Its answers, in order.
        right: Whether each is right.
    """

    name: str
    messages: Sequence[AIMessage]
    right: Sequence[bool]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(self.right) / len(self.right)

    @property
    def cost_usd(self) -> float | None:
        """Mean cost per question; `None` when unknown."""
        costs: list[float | None] = [decision(message)["cost_usd"] for message in self.messages]
        known = [cost for cost in costs if cost is not None]
        return sum(known) / len(known) if len(known) == len(costs) else None

    def calls(self, tier: str) -> float:
        """Calls to a tier per question."""
        steps = [step for message in self.messages for step in decision(message)["steps"]]
        return sum(1 for step in steps if step["tier"] == tier and step["called"]) / len(self.messages)


@dataclass(frozen=True)
class Profile:
    """One model on the questions of a calibration.

    Attributes:
        scores: Its confidence in each answer; `None` is escalated by any threshold.
        right: Whether each answer is right.
        costs: Cost of each answer.
    """

    scores: Sequence[float | None]
    right: Sequence[bool]
    costs: Sequence[float]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--live", nargs="+", metavar="PROVIDER:MODEL", help="ask these models, cheapest first, and pay for it")
    parser.add_argument(
        "--questions", type=int, metavar="N", help=f"number of questions (default: {_QUESTIONS}; live: {_LIVE_QUESTIONS})"
    )
    parser.add_argument("--yes", action="store_true", help="with --live: do not ask before spending money")
    parser.add_argument("--plot", type=Path, default=Path("frugal-demo.png"), metavar="FILE", help="default: %(default)s")


def run(arguments: argparse.Namespace, console: Console, messages: Console) -> int:
    """Run the demo.

    Args:
        arguments: As `configure` declares them.
        console: Where the results go.
        messages: Where progress goes.

    Returns:
        Exit status: 0, or 1 when the user declined the cost.

    Raises:
        ConfigurationError: An argument is wrong, or a live model cannot be built.
    """
    default = _LIVE_QUESTIONS if arguments.live else _QUESTIONS
    number = default if arguments.questions is None else arguments.questions
    if number < 1:
        raise ConfigurationError(f"--questions {number} is out of range: give 1 or more.")
    if not arguments.plot.resolve().parent.is_dir():
        raise ConfigurationError(f"--plot {arguments.plot}: there is no folder {arguments.plot.resolve().parent}.")
    drawn = generate(number + (0 if arguments.live else _CALIBRATION), seed=_SEED)
    questions, calibration = drawn[:number], drawn[number:]
    if arguments.live:
        if len(arguments.live) < 2:
            raise ConfigurationError("--live takes two models or more, cheapest first.")
        models: list[Any] = [tier.client for tier in ChatFrugal(models=arguments.live)._runner.tiers]
        if not _agreed(arguments.live, questions, console, ask=not arguments.yes):
            return 1
    else:
        models = [ChatPlayground(model=name) for name in MODEL_NAMES]
    contest = _Contest(models, messages, _INSTRUCTION if arguments.live else "")
    results, cascade = contest.live(questions) if arguments.live else contest.playground(questions, calibration)
    console.print(_table(results, contest.thresholds))
    _show_decision(console, questions, results)
    _show_stream(console, cascade, _longest(questions, results) + contest.instruction)
    _save_plot(console, results, arguments.plot)
    return 0


class _Contest:
    """Asks the same questions by one policy after another.

    Args:
        models: Cheapest first.
        messages: Where progress goes.
        instruction: Appended to every question.

    Attributes:
        thresholds: Those that were calibrated, if any.
    """

    def __init__(self, models: Sequence[Any], messages: Console, instruction: str) -> None:
        self.models = models
        self.instruction = instruction
        self.thresholds: Sequence[float] = ()
        self._messages = messages

    def playground(self, questions: Sequence[Question], calibration: Sequence[Question]) -> tuple[list[Result], ChatFrugal]:
        """Single models, random routing, and the cascade with a calibrated and with a dynamic threshold."""
        with self._progress() as progress:
            thresholds = self._calibrate(calibration, progress)
            large = self._ask("always large", self._llm(policy=Single(-1)), questions, progress)
            small = self._ask("always small", self._llm(policy=Single(0)), questions, progress)
            calibrated = self._llm(scorer=_SCORER, threshold=thresholds)
            cascade = self._ask("cascade, calibrated", calibrated, questions, progress)
            budgeted = self._llm(scorer=_SCORER, call_large=_CALL_LARGE)
            dynamic = self._ask(f"cascade, call_large={_CALL_LARGE}", budgeted, questions, progress)
            share = _share(cascade, small, large)
            router = self._llm(policy=RandomRouter(share, seed=_SEED))
            at_random = self._ask("random routing", router, questions, progress)
        self.thresholds = thresholds
        return [large, small, at_random, cascade, dynamic], calibrated

    def live(self, questions: Sequence[Question]) -> tuple[list[Result], ChatFrugal]:
        """Single models and the cascade, nothing learned in advance."""
        cascade = self._llm(scorer=_SCORER, call_large=_CALL_LARGE)
        with self._progress() as progress:
            large = self._ask("always large", self._llm(policy=Single(-1)), questions, progress)
            small = self._ask("always small", self._llm(policy=Single(0)), questions, progress)
            result = self._ask(f"cascade, call_large={_CALL_LARGE}", cascade, questions, progress)
        return [large, small, result], cascade

    def _llm(self, **settings: Any) -> ChatFrugal:
        return ChatFrugal(models=self.models, **settings)

    def _ask(self, name: str, llm: ChatFrugal, questions: Sequence[Question], progress: Progress) -> Result:
        task = progress.add_task(name, total=len(questions))
        messages: list[AIMessage] = []
        for start in range(0, len(questions), _BATCH):
            texts = [question.text + self.instruction for question in questions[start : start + _BATCH]]
            messages += llm.batch(list(texts))
            progress.update(task, completed=len(messages))
        pairs = zip(messages, questions, strict=True)
        return Result(name, messages, [is_correct(message.text, question.answer) for message, question in pairs])

    def _calibrate(self, questions: Sequence[Question], progress: Progress) -> list[float]:
        """Thresholds that lose little against the last model on these questions, at the least cost."""
        profiles: list[Profile] = []
        for model in self.models:
            # Its own answers with their scores: as the first of two tiers, and always accepted.
            alone = ChatFrugal(models=[model, model], scorer=_SCORER, threshold=0.0)
            result = self._ask(f"calibrating: {model.model}", alone, questions, progress)
            steps = [decision(message)["steps"][0] for message in result.messages]
            profiles.append(Profile([step["score"] for step in steps], result.right, [step["cost_usd"] for step in steps]))
        return cheapest_thresholds(profiles, _LOSS)

    @contextmanager
    def _progress(self) -> Iterator[Progress]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._messages, disable=not self._messages.is_terminal) as progress:
            yield progress


def decision(message: AIMessage) -> Mapping[str, Any]:
    """The decision that an answer carries."""
    found: Mapping[str, Any] = message.response_metadata["frugal"]
    return found


def cheapest_thresholds(profiles: Sequence[Profile], loss: float = 0.0) -> list[float]:
    """The thresholds, one per escalation, with which a cascade is about as often right as its last model, at the least cost.

    Args:
        profiles: Of every model on the same questions, in order.
        loss: Share of the answers by which it may be right less often.

    >>> small = Profile([0.2, 0.5, 0.9], [False, True, True], [1.0, 1.0, 1.0])
    >>> cheapest_thresholds([small, Profile([1.0, 1.0, 1.0], [True, True, True], [9.0, 9.0, 9.0])])
    [0.5]
    """
    goal = sum(profiles[-1].right) - loss * len(profiles[-1].right)
    tried = [(_replayed(profiles, thresholds), thresholds) for thresholds in itertools.product(*map(_cuts, profiles[:-1]))]
    enough = [(cost, thresholds) for (right, cost), thresholds in tried if right >= goal]
    return list(min(enough)[1]) if enough else [1.0] * (len(profiles) - 1)


def _cuts(profile: Profile) -> list[float]:
    """Up to some twenty thresholds that tell the scores apart."""
    scores = sorted({score for score in profile.scores if score is not None})
    return [0.0, *scores[:: max(1, len(scores) // 20)], 1.0]


def _replayed(profiles: Sequence[Profile], thresholds: Sequence[float]) -> tuple[int, float]:
    """Right answers and cost of a cascade with these thresholds."""
    right, cost = 0, 0.0
    for place in range(len(profiles[-1].right)):
        for profile, threshold in itertools.zip_longest(profiles, thresholds, fillvalue=None):
            assert profile is not None
            cost += profile.costs[place]
            score = profile.scores[place]
            if threshold is None or (score is not None and score >= threshold):
                right += profile.right[place]
                break
    return right, cost


def _share(cascade: Result, small: Result, large: Result) -> float:
    """Share of large calls with which random routing costs as much as the cascade."""
    costs = cascade.cost_usd, small.cost_usd, large.cost_usd
    if None in costs or costs[1] == costs[2]:
        return cascade.calls(decision(large.messages[0])["tier"])
    middle, low, high = (cost or 0.0 for cost in costs)
    return min(1.0, max(0.0, (middle - low) / (high - low)))


def _agreed(models: Sequence[str], questions: Sequence[Question], console: Console, *, ask: bool) -> bool:
    """Show what the live models will cost at most, and whether the user agrees."""
    texts = [question.text + _INSTRUCTION for question in questions]
    total = 0.0
    for model in models:
        price = PriceBook.default().price(model)
        if price is None:
            console.print(
                f"{model}: its price is unknown, and so is the cost of {2 * len(texts)} short calls to it.", highlight=False
            )
            continue
        cost = 2 * sum(price.cost(Usage(count_tokens(text, model), _OUTPUT_TOKENS)) for text in texts)
        console.print(f"{model}: at most {2 * len(texts)} calls, about ${cost:.4f}", highlight=False)
        total += cost
    console.print(
        f"Estimated cost of all models with a known price: ${total:.4f} ({_OUTPUT_TOKENS} output tokens per answer assumed)"
    )
    if not ask:
        return True
    if not console.is_interactive:
        raise ConfigurationError("--live spends money and nobody is here to agree: add --yes.")
    return Confirm.ask("Go on?", console=console, default=False)


def _tiers(results: Sequence[Result]) -> list[str]:
    """Names of the tiers, the cheapest first."""
    large, small, *others = results
    ordered = [message for result in (small, *others[::-1], large) for message in result.messages]
    return list(dict.fromkeys(step["tier"] for message in ordered for step in decision(message)["steps"]))


def _table(results: Sequence[Result], thresholds: Sequence[float]) -> Table:
    tiers = _tiers(results)
    table = Table(title=f"{len(results[0].messages)} unseen questions", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("policy")
    for name in ("accuracy", "USD per 1000", "saved"):
        table.add_column(name, justify="right")
    table.add_column("calls per question", justify="right")
    reference = results[0].cost_usd
    for result in results:
        cost = result.cost_usd
        saved = "-" if not cost or not reference or result is results[0] else f"{1 - cost / reference:.0%}"
        calls = " + ".join(f"{result.calls(tier):.2f}" for tier in tiers)
        shown = "unknown" if cost is None else f"{cost * 1000:.4f}"
        table.add_row(result.name, f"{result.accuracy:.1%}", shown, saved, calls)
    table.caption = f"calls: {' + '.join(tier.removeprefix('playground-') for tier in tiers)}"
    if thresholds:
        chosen = ", ".join(f"{threshold:.2f}" for threshold in thresholds)
        table.caption += (
            f"\nThe calibrated thresholds ({chosen}) were chosen on {_CALIBRATION} other questions, so as to be right at most "
            f"{_LOSS:.0%} less often than the large model there. Random routing has the share of large calls that costs as "
            "much as that cascade on average."
        )
    table.caption_justify = "left"
    return table


def _cascade_result(results: Sequence[Result]) -> Result:
    return next(result for result in results if result.name.startswith("cascade"))


def _escalated_index(results: Sequence[Result]) -> int:
    """A question that the cascade escalated, preferably one that the small model gets wrong and the large one right."""
    large, small, cascade = results[0], results[1], _cascade_result(results)
    asked = [len([step for step in decision(message)["steps"] if step["called"]]) for message in cascade.messages]
    return max(range(len(asked)), key=lambda i: (asked[i] > 1, large.right[i] and not small.right[i]))


def _longest(questions: Sequence[Question], results: Sequence[Result]) -> str:
    """The question with the longest answer among those that the cascade escalated, and thus streams live."""
    decisions = [decision(message) for message in _cascade_result(results).messages]

    def length(index: int) -> tuple[bool, int]:
        steps = decisions[index]["steps"]
        return len(steps) > 1, steps[-1]["output_tokens"] or 0

    return questions[max(range(len(decisions)), key=length)].text


def _show_decision(console: Console, questions: Sequence[Question], results: Sequence[Result]) -> None:
    index = _escalated_index(results)
    message, question = _cascade_result(results).messages[index], questions[index]
    console.print("[bold]One decision in full[/] (response_metadata['frugal'] of the message)")
    console.print(f"{question.text} → {message.text!r} (right: {question.answer!r})", highlight=False, markup=False)
    console.print(Syntax(json.dumps(decision(message), indent=2), "json", background_color="default", word_wrap=True))


def _show_stream(console: Console, llm: ChatFrugal, text: str) -> None:
    console.print("\n[bold]An answer streamed[/], a bar after every chunk:")
    console.print(f"{text} → ", end="", highlight=False, markup=False)
    for chunk in llm.stream(text):
        if chunk.text:
            console.print(f"{chunk.text}|", end="", highlight=False, markup=False, soft_wrap=True)
    console.print("\n")


def _save_plot(console: Console, results: Sequence[Result], path: Path) -> None:
    if any(result.cost_usd is None for result in results):
        console.print("No plot: the cost of a model is unknown.")
        return
    try:
        from matplotlib.figure import Figure
    except ImportError:
        console.print("No plot: it needs matplotlib (pip install 'langchain-frugal[plots]').", markup=False)
        return
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    points = {result.name: ((result.cost_usd or 0.0) * 1000, result.accuracy) for result in results}
    ends = [points["always small"], points["always large"]]
    axes.plot([x for x, _ in ends], [y for _, y in ends], "--", color="grey", label="random routing, expected")
    for name, (cost, accuracy) in points.items():
        axes.plot([cost], [accuracy], "o", label=name)
    axes.set(xlabel="USD per 1000 questions", ylabel="accuracy", title=f"{len(results[0].messages)} unseen questions")
    axes.legend(fontsize=8)
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The plot cannot be saved as {str(path)!r}: {error}. Name a writable file by --plot."
        ) from error
    console.print(f"Plot: {path}", highlight=False)
