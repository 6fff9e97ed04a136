"""`DecisionPredictor`: LangChain's decision models as what a router goes by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.predictors import Predictor
from frugal_core.types import Query


class DecisionPredictor(Predictor):
    """Asks a decision model one question per model and takes the probability of "yes" for its quality.

    For `langchain_openai.decisions.OpenAIDecisions`, and whatever else takes `{"input", "questions"}` and answers with
    `answers` that have a `probability`.

    Deciding is then a call to a provider: it takes its time, in asynchronous programs the event loop's too, and its price is
    not in the decision's costs, since no price table has it. When it fails or a question is refused, the router asks the
    reference.

    Args:
        decisions: The decision model.
        questions: By name of a model, a `Predicate`, such as one that a small language model answers this rightly.

    Raises:
        ConfigurationError: There is no decision model, or no question.
    """

    def __init__(self, decisions: Any, questions: Mapping[str, Any]) -> None:
        if not callable(getattr(decisions, "invoke", None)):
            raise ConfigurationError(f"decisions={decisions!r} must be a decision model, such as OpenAIDecisions.")
        if not isinstance(questions, Mapping) or not questions:
            raise ConfigurationError(f"questions={questions!r} must give a Predicate for each model, by the model's name.")
        self.decisions = decisions
        self.questions = dict(questions)
        self.models = tuple(self.questions)

    def __call__(self, query: Query) -> list[float]:
        """The probability of "yes" for each model, from one call.

        Raises:
            ScorerError: A question was not answered with a probability.
        """
        answers = self.decisions.invoke({"input": query.text, "questions": self.questions}).answers
        found: dict[str, Any] = {name: getattr(answers.get(name), "probability", None) for name in self.models}
        missing = [name for name, probability in found.items() if probability is None]
        if missing:
            raise ScorerError(
                f"The decision model gave no probability for {missing[0]!r} but {answers.get(missing[0])!r}: ask it a "
                "Predicate."
            )
        return [float(found[name]) for name in self.models]
