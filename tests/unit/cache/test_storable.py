import pytest

from frugal_core.cache.storable import is_refusal, objection_to
from frugal_core.decision import Decision, Step
from frugal_core.types import Answer, ToolCall

REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "I’m sorry, I can’t help with that request.",
    "Sorry, I cannot provide medical advice.",
    "I cannot answer that question.",
    "I can't discuss this topic.",
    "I am unable to help you with this.",
    "I'm not able to provide that information.",
    "I'm unable to assist.",
    "Unfortunately, I am not able to complete this task.",
    "I apologize, but I cannot fulfill this request.",
    "As an AI language model, I cannot provide legal advice.",
    "As an AI, I'm unable to create such content.",
    "I won't be able to help with that.",
    "I must decline to answer.",
    "I will not assist with this.",
    "My apologies, but I can not generate that.",
    "I am sorry, but as an AI assistant, I can't help with hacking.",
    "I'm really sorry that you're feeling this way, but I'm unable to provide the help that you need.",
    "I’m not allowed to discuss that.",
    "I do not feel comfortable answering that.",
    "I'm not comfortable helping with this.",
]

ANSWERS = [
    "Paris",
    "I can help with that: go to Settings.",
    "You cannot help it: the lid is stuck.",
    "Sorry seems to be the hardest word was released in 1976.",
    "The bot replied: I can't assist with that.",
    "Unfortunately, the office is closed on Mondays.",
    "I'm sorry for your loss. Here is how to close the account: …",
    "As an AI pioneer, Turing asked whether machines can think.",
    "No.",
    "It is not possible to provide a refund after 30 days.",
    "I will not be long, says the doctor in act two.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_told(text):
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_are_not_taken_for_refusals(text):
    assert not is_refusal(text)


def decided(reason, score=None, threshold=None):
    return Decision((Step("small", None, True, reason, score=score, threshold=threshold),), "cascade", "1", 0.1, 0.2)


@pytest.mark.parametrize(
    ("answer", "decision", "temperature", "objection"),
    [
        (Answer("Paris"), None, None, None),
        (Answer("Paris"), None, 0.0, None),
        (Answer("Paris"), None, 0.7, "sampled"),
        (Answer("Par", finish_reason="length"), None, None, "truncated"),
        (Answer("Par", finish_reason="content_filter"), None, None, "filtered"),
        (Answer(" "), None, None, "empty"),
        (Answer("x", parsing_error="no JSON"), None, None, "invalid"),
        (Answer("", (ToolCall("f", {}),)), None, None, None),
        (Answer("", (ToolCall("f", {}, error="no JSON"),)), None, None, "invalid"),
        (Answer("I can't help with that."), None, None, "refusal"),
        (Answer("Paris"), decided("confident", 0.9, 0.8), None, None),
        (Answer("Paris"), decided("last_tier"), None, None),
        (Answer("Paris"), decided("budget_spent", 0.1, 0.8), None, "low_confidence"),
        (Answer("Paris"), decided("budget_spent"), None, "low_confidence"),
        (Answer("Paris"), decided("no_signal"), None, "low_confidence"),
        (Answer("Paris"), decided("warm_up", 0.3, 0.5), None, "low_confidence"),
        (Answer("Paris"), decided("hopeless", 0.01, 0.8), None, "low_confidence"),
    ],
)
def test_objections(answer, decision, temperature, objection):
    assert objection_to(answer, decision, temperature) == objection
