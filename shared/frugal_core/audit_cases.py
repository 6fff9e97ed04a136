"""One audited query: what each model said to it, what the reference says, and the rows that tell so for good.

Of every audited query all answers are kept, the rejected drafts as well: a threshold is learned from the answers on both of its
sides. An answer's `correct` is how far it agrees with the reference's. The served one's row has a column `audit` besides, which
holds the loss and what asking the reference for it cost: these rows, in the order of the file, are the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frugal_core.agreement import agree_beyond_text
from frugal_core.errors import RecordingsError
from frugal_core.learning.items import written
from frugal_core.learning.labels import Grade
from frugal_core.learning.rows import row_of
from frugal_core.types import Answer, Query

AUDIT = "audit"
"""Column of the rows that are evidence: `{"loss": in [0, 1], "cost_usd": of the call to the reference}`."""


@dataclass(frozen=True)
class Case:
    """An audited query.

    Attributes:
        number: Its place in the order of the audited queries.
        query: The query.
        served: Name of the tier whose answer was served.
        answers: What the tiers said, by their names, the served one's answer included.
    """

    number: int
    query: Query
    served: str
    answers: Mapping[str, Answer]

    @property
    def reference(self) -> str:
        """Name of the reference tier."""
        return self.query.tiers[self.query.reference].name

    @property
    def known(self) -> Answer | None:
        """The reference's answer, where it was asked anyway."""
        return self.answers.get(self.reference)


@dataclass(frozen=True)
class Finding:
    """What an audit came to.

    Attributes:
        loss: 1 − agreement of the served answer with the reference's, in [0, 1].
        cost_usd: Of the call to the reference; 0 where none was needed, `None` where its price is unknown.
        rows: What is to be kept, the served answer's row last.
    """

    loss: float
    cost_usd: float | None
    rows: Sequence[Mapping[str, Any]]


def judged(case: Case, said: Answer, compare: Grade, dataset: str) -> Finding:
    """Compare all answers with the reference's.

    Args:
        case: The query.
        said: The reference's answer.
        compare: Compares texts.
        dataset: Name of the rows' dataset.
    """
    answers = {**case.answers, case.reference: said}
    agreed = {
        name: 1.0 if name == case.reference else agreement(case.query, answer, said, compare)
        for name, answer in answers.items()
    }
    loss = 1.0 - agreed[case.served]
    cost = 0.0 if case.known is not None else said.cost_usd
    rows = [
        row_of(dataset, case.query, name, answers[name], {"correct": agreed[name], "label": "agreement"})
        for name in sorted(answers, key=lambda name: name == case.served)
    ]
    return Finding(loss, cost, [*rows[:-1], {**rows[-1], AUDIT: {"loss": loss, "cost_usd": cost}}])


def agreement(query: Query, answer: Answer, reference: Answer, compare: Grade) -> float:
    """How far an answer agrees with the reference's, in [0, 1].

    Structured values agree when they are equal, tool calls when names and arguments are; texts by `compare`. See
    `frugal_core.agreement.agree`.
    """
    beyond_text = agree_beyond_text(answer, reference)
    return compare(written(query), answer.text, reference.text) if beyond_text is None else float(beyond_text)


def evidence_in(rows: Iterable[Mapping[str, Any]], path: Any) -> list[tuple[float, float | None]]:
    """Loss and cost of each audit in a file, in order.

    Raises:
        RecordingsError: A row's column is malformed.
    """
    found = []
    for row in rows:
        if (told := row.get(AUDIT)) is None:
            continue
        loss: Any = told.get("loss") if isinstance(told, Mapping) else None
        cost: Any = told.get("cost_usd") if isinstance(told, Mapping) else None
        if not _number(loss, 1.0) or not (cost is None or _number(cost, math.inf)):
            raise RecordingsError(
                f"{path}: query {row.get('query_id')!r} has audit={told!r}, which no audit wrote: a loss is a number from 0 to "
                "1. Repair the row, or give another path."
            )
        found.append((float(loss), cost))
    return found


def forgotten(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows as mere recordings, which are no evidence."""
    return [{name: value for name, value in row.items() if name != AUDIT} for row in rows]


def _number(value: Any, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most
