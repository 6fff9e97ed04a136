from hypothesis import given
from hypothesis import strategies as st

from frugal_core.cache import question_of, text_question
from frugal_core.cache.question import digest
from frugal_core.types import Message, Query, Tier, ToolCall

TEXTS = st.text(max_size=20)


def question(*messages, **settings):
    return question_of(Query(list(messages), (Tier("large"),)), **{"identity": "m", **settings})


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_parts_never_run_into_each_other(a, b, c, d):
    assert (digest(a, b) == digest(c, d)) == ((a, b) == (c, d))


@given(st.lists(TEXTS, min_size=1, max_size=3), st.lists(TEXTS, min_size=1, max_size=3))
def test_no_two_conversations_share_a_key(one, other):
    first, second = (question(*(Message("user", text) for text in texts)) for texts in (one, other))
    assert (first.key == second.key) == (one == other)
    assert (first.partition == second.partition) == (one[:-1] == other[:-1])


def test_providers_ids_of_tool_calls_are_no_part_of_it():
    def after_call(identifier):
        call = ToolCall("search", {"q": "x"}, id=identifier)
        return question(Message("user", "?"), Message("assistant", "", (call,)), Message("tool", "3"))

    assert after_call("1") == after_call("2")


def test_arguments_of_tool_calls_are():
    def after_call(words):
        call = ToolCall("search", {"q": words})
        return question(Message("user", "?"), Message("assistant", "", (call,)), Message("tool", "3"))

    assert after_call("x").key != after_call("y").key


def test_what_is_no_chat_is_a_text_and_what_must_agree():
    one, other = text_question("Who?", {"index": 1}), text_question("Who?", {"index": 2})
    assert one.partition != other.partition
    assert one == text_question("Who?", {"index": 1})
    assert not text_question(" ").semantic
