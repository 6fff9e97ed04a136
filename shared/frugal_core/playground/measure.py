"""Measure the playground models as they are shipped."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from frugal_core.playground.language_model import LanguageModel
from frugal_core.playground.quantisation import load_weights
from frugal_core.playground.questions import Question, generate, is_correct
from frugal_core.playground.transformer import Transformer


@dataclass(frozen=True, slots=True)
class Outcome:
    """A model's answer to a question, and how sure it was of the first token: p(best) - p(second best)."""

    question: Question
    answer: str
    margin: float

    @property
    def correct(self) -> bool:
        """Whether the answer is right."""
        return is_correct(self.answer, self.question.answer)


def answer_all(model: LanguageModel, questions: Sequence[Question]) -> list[Outcome]:
    """Answer each question at temperature 0."""
    outcomes = []
    for question in questions:
        tokens = list(model.generate(model.prompt(question.text), max_tokens=24, top_logprobs=2))
        best, second = (math.exp(logprob) for _, logprob in tokens[0].top[:2]) if tokens else (0.0, 0.0)
        outcomes.append(Outcome(question, "".join(token.text for token in tokens), best - second))
    return outcomes


def accuracy(outcomes: Sequence[Outcome]) -> float:
    """Return the share of right answers."""
    return sum(outcome.correct for outcome in outcomes) / len(outcomes)


def accuracy_by_family(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the share of right answers in each family."""
    families = dict.fromkeys(outcome.question.family for outcome in outcomes)
    return {name: accuracy([item for item in outcomes if item.question.family == name]) for name in families}


def margin_auroc(outcomes: Sequence[Outcome]) -> float | None:
    """Return how often a right answer has a larger margin than a wrong one (ties count half).

    None where all answers are right, or all wrong.

    Examples:
        >>> question = Question("addition", "What is 1 plus 1?", "2")
        >>> margin_auroc([Outcome(question, "2", 0.9), Outcome(question, "3", 0.1), Outcome(question, "4", 0.9)])
        0.75
    """
    right = [outcome.margin for outcome in outcomes if outcome.correct]
    wrong = [outcome.margin for outcome in outcomes if not outcome.correct]
    if not right or not wrong:
        return None
    wins = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
    return wins / (len(right) * len(wrong))


def write_card(folder: Path, name: str, *, steps: int, seed: int, count: int = 2400) -> None:
    """Measure the weights of one model in `folder` on unseen questions and note the results in its ``card.json``.

    The overall accuracy is the mean of the families': small families run out of unseen questions, and count alike.
    """
    path = folder / f"playground-{name}.npz"
    model = LanguageModel(f"playground-{name}", Transformer(load_weights(path)))
    outcomes = answer_all(model, generate(count, seed=2_000_003))
    card_path = folder / "card.json"
    card = json.loads(card_path.read_text()) if card_path.exists() else {}
    by_family = accuracy_by_family(outcomes)
    auroc = margin_auroc(outcomes)
    card[model.name] = {
        "parameters": model.parameters,
        "bytes": path.stat().st_size,
        "unseen_questions": count,
        "accuracy": round(sum(by_family.values()) / len(by_family), 4),
        "accuracy_by_family": {family: round(share, 4) for family, share in by_family.items()},
        "first_token_margin_auroc": None if auroc is None else round(auroc, 4),
        "steps": steps,
        "seed": seed,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
    card_path.write_text(json.dumps(card, indent=2) + "\n")
