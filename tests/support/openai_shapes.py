"""What the fakes of both frameworks say of their answers, in OpenAI's shapes."""

from __future__ import annotations

from math import log
from typing import Any

PRICES = {"small": (1.0, 1.0), "mid": (5.0, 5.0), "large": (10.0, 10.0)}
"""USD per million tokens; every call of a fake takes 4 tokens in and 2 out."""


def logprobs(text: str, margin: float) -> dict[str, Any]:
    """OpenAI's log-probabilities of a text whose first token led its rival by `margin`."""
    words = text.split(" ")
    best, rival = (1 + margin) / 2, max((1 - margin) / 2, 1e-9)
    alternatives = [{"token": words[0], "logprob": log(best)}, {"token": "§", "logprob": log(rival)}]
    first = {"token": words[0], "logprob": log(best), "top_logprobs": alternatives}
    rest = [{"token": f" {word}", "logprob": -0.01, "top_logprobs": []} for word in words[1:]]
    return {"content": [first, *rest]}
