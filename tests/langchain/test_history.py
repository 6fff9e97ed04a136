from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_openai import ChatOpenAI

from langchain_frugal._history import clean_history

CHAT = ChatOpenAI(model="gpt-4o", api_key="test")
RESPONSES = ChatOpenAI(model="gpt-4o", api_key="test", use_responses_api=True)


def named(*names: str) -> Any:
    """A model whose class and bases are called like a provider's, without its package."""
    cls: type = object
    for name in reversed(names):
        cls = type(name, (cls,), {})
    return cls()


ANTHROPIC, BEDROCK, GOOGLE = named("ChatAnthropic"), named("ChatBedrockConverse"), named("ChatGoogleGenerativeAI")
MISTRAL, OLLAMA = named("ChatMistralAI"), named("ChatOllama")
TARGETS = [
    CHAT,
    RESPONSES,
    ANTHROPIC,
    BEDROCK,
    GOOGLE,
    MISTRAL,
    OLLAMA,
    named("ChatCohere"),
    FakeListChatModel(responses=[]),
]


def call(call_id: str | None) -> ToolCall:
    return ToolCall(name="add", args={"a": 1}, id=call_id, type="tool_call")


def turn(content: Any, maker: str | None, call_id: str = "call_1", **fields: Any) -> AIMessage:
    metadata = {"model_provider": maker, "model_name": "m"} if maker else {"model_name": "m"}
    metadata |= fields.pop("response_metadata", {})
    return AIMessage(content, tool_calls=[call(call_id)], response_metadata=metadata, **fields)


def told(answer: AIMessage) -> list[BaseMessage]:
    """A conversation around one answer that called a tool."""
    result = ToolMessage("2", tool_call_id=answer.tool_calls[0]["id"] or "", name="add")
    return [SystemMessage("Be kind."), HumanMessage("1+1?"), answer, result, AIMessage("Two."), HumanMessage("Sure?")]


TEXT = {"type": "text", "text": "Let me see."}
V1 = {"output_version": "v1"}
TURNS = {
    # as the providers' packages produce them
    "anthropic": turn(
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "SIG"},
            {"type": "redacted_thinking", "data": "RED"},
            TEXT,
            {"type": "tool_use", "id": "toolu_01", "name": "add", "input": {"a": 1}},
        ],
        "anthropic",
        "toolu_01",
    ),
    "anthropic v1": turn(
        [
            {"type": "reasoning", "reasoning": "Hm.", "extras": {"signature": "SIG"}},
            {"type": "non_standard", "value": {"type": "redacted_thinking", "data": "RED"}},
            TEXT,
            {"type": "tool_call", "id": "toolu_01", "name": "add", "args": {"a": 1}},
        ],
        "anthropic",
        "toolu_01",
        response_metadata=V1,
    ),
    "responses": turn(
        [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ENC"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {**TEXT, "annotations": [], "id": "msg_1"},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "add", "arguments": '{"a": 1}'},
        ],
        "openai",
        id="resp_1",
    ),
    "google": turn(
        [{"type": "thinking", "thinking": "Hm."}, {**TEXT, "extras": {"signature": "U0lH"}}],
        "google_genai",
        "3f0c",
        additional_kwargs={
            "function_call": {"name": "add", "arguments": '{"a": 1}'},
            "__gemini_function_call_thought_signatures__": {"3f0c": "U0lH"},
        },
    ),
    "google signature": turn(
        [TEXT, {"type": "function_call_signature", "signature": "U0lH", "index": 0}],
        "google_genai",
    ),
    "mistral": turn(
        [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, TEXT],
        "mistralai",
        "abc123XYZ",
    ),
    "bedrock": turn(
        [
            {"type": "reasoning_content", "reasoning_content": {"text": "Hm.", "signature": "SIG"}},
            TEXT,
            {"type": "tool_use", "id": "tooluse_1", "name": "add", "input": {"a": 1}},
        ],
        "bedrock_converse",
        "tooluse_1",
    ),
    "deepseek": turn("Let me see.", "deepseek", additional_kwargs={"reasoning_content": "Hm."}),
    "kimi": turn("Let me see.", "fireworks", "functions.add:0", additional_kwargs={"reasoning_content": "Hm."}),
}
OF = {"anthropic v1": "anthropic", "google signature": "google", "kimi": "fireworks"}
NATIVE = {
    "anthropic": ANTHROPIC,
    "responses": RESPONSES,
    "google": GOOGLE,
    "mistral": MISTRAL,
    "bedrock": BEDROCK,
    "deepseek": named("ChatDeepSeek", "BaseChatOpenAI"),
    "fireworks": named("ChatFireworks"),
}
LEAKS = re.compile(r"Hm\.|SIG|RED|ENC|U0lH|(rs|ws|msg|fc)_1|thinking|reasoning|non_standard|call_signature|extras")


@pytest.mark.parametrize("name", TURNS)
def test_a_providers_own_turns_go_back_to_it_untouched(name: str) -> None:
    history = told(TURNS[name])
    assert clean_history(history, NATIVE[OF.get(name, name)]) is history


FOREIGN = [(name, model) for name in TURNS for model in TARGETS if model is not NATIVE[OF.get(name, name)]]


@pytest.mark.parametrize(
    ("name", "model"), FOREIGN, ids=lambda value: value if isinstance(value, str) else type(value).__name__
)
def test_only_text_and_tool_calls_reach_another_provider(name: str, model: Any) -> None:
    history = told(TURNS[name])
    cleaned = clean_history(history, model)
    answer = cleaned[2]
    assert isinstance(answer, AIMessage)
    assert answer.content == "Let me see."
    assert answer.additional_kwargs == {}
    assert "output_version" not in answer.response_metadata  # or text would be taken for a list of v1 blocks
    assert [(made["name"], made["args"]) for made in answer.tool_calls] == [("add", {"a": 1})]
    assert answer.response_metadata["model_name"] == "m"
    assert [type(message) for message in cleaned] == [type(message) for message in history]
    untouched = [new is old for new, old in zip(cleaned, history, strict=True)]
    assert untouched[:2] == [True, True]
    assert untouched[4:] == [True, True]


@pytest.mark.parametrize("name", [name for name in TURNS if name != "responses"])
@pytest.mark.parametrize("model", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_openais_request_carries_no_foreign_part(name: str, model: ChatOpenAI) -> None:
    payload = model._get_request_payload(clean_history(told(TURNS[name]), model))
    assert not LEAKS.search(str(payload))


@pytest.mark.parametrize(
    ("name", "model", "leak"),
    [
        ("anthropic", CHAT, "redacted_thinking"),
        ("anthropic v1", CHAT, "non_standard"),
        ("google signature", CHAT, "function_call_signature"),
        ("responses", CHAT, "web_search_call"),
        ("anthropic v1", RESPONSES, "'type': 'reasoning'"),
    ],
)
def test_openais_own_builder_would_have_sent_it(name: str, model: ChatOpenAI, leak: str) -> None:
    """Why the rules exist; a row that fails here is one that langchain-openai has taken over."""
    history = told(TURNS[name])
    assert leak in str(model._get_request_payload(history))
    assert leak not in str(model._get_request_payload(clean_history(history, model)))


def test_items_of_the_responses_api_go_back_to_it_and_not_to_chat_completions() -> None:
    history = told(TURNS["responses"])
    assert clean_history(history, RESPONSES) is history
    assert clean_history(history, CHAT.bind(include=["reasoning.encrypted_content"])) is history
    assert clean_history(history, CHAT)[2].content == "Let me see."


def test_wrapped_models_are_seen_through() -> None:
    history = told(TURNS["anthropic"])
    assert clean_history(history, CHAT.bind(stop=["x"]).with_retry())[2].content == "Let me see."


def test_a_turn_of_reasoning_alone_becomes_an_empty_one() -> None:
    thought = AIMessage(
        [{"type": "thinking", "thinking": "Hm.", "signature": "SIG"}], response_metadata={"model_provider": "anthropic"}
    )
    cleaned = clean_history([HumanMessage("?"), thought, HumanMessage("!")], CHAT)
    assert [message.content for message in cleaned] == ["?", "", "!"]
    silent = turn([{"type": "thinking", "thinking": "Hm.", "signature": "SIG"}], "anthropic")
    assert CHAT._get_request_payload(clean_history(told(silent), CHAT))["messages"][2]["content"] is None


def test_pictures_and_refusals_stay() -> None:
    picture = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    signed = {**TEXT, "extras": {"signature": "U0lH"}}
    drawn = clean_history(told(turn([signed, picture], "google_genai")), CHAT)[2]
    assert drawn.content == [TEXT, picture]
    refused = turn([{"type": "reasoning", "id": "rs_1"}, {"type": "refusal", "refusal": "No."}], "openai")
    assert clean_history(told(refused), CHAT)[2].content == "No."


@pytest.mark.parametrize(
    ("block", "native"),
    [
        ({"type": "thinking", "thinking": "Hm.", "signature": "SIG"}, ANTHROPIC),
        ({"type": "redacted_thinking", "data": "RED"}, ANTHROPIC),
        ({"type": "reasoning_content", "reasoning_content": {"text": "Hm."}}, BEDROCK),
        ({"type": "reasoning", "id": "rs_1", "summary": []}, RESPONSES),
        ({"type": "function_call", "call_id": "call_1", "id": "fc_1"}, RESPONSES),
        ({"type": "function_call_signature", "signature": "U0lH"}, GOOGLE),
        ({"type": "reasoning", "reasoning": "Hm."}, None),
    ],
)
def test_turns_that_do_not_say_who_made_them_are_known_by_their_shape(block: dict[str, Any], native: Any) -> None:
    history = told(turn([block, TEXT], None))
    for model in (ANTHROPIC, BEDROCK, GOOGLE, RESPONSES):
        cleaned = clean_history(history, model)
        assert (cleaned is history) if model is native else (cleaned[2].content == "Let me see.")


def test_gemini_turns_of_older_packages_are_known_by_their_signatures() -> None:
    signatures = {"__gemini_function_call_thought_signatures__": {"call_1": "U0lH"}}
    history = told(turn("Hm.", None, additional_kwargs=signatures))
    assert clean_history(history, GOOGLE) is history
    assert clean_history(history, OLLAMA)[2].additional_kwargs == {}


def test_the_decision_of_an_earlier_turn_is_not_sent() -> None:
    answer = AIMessage("Two.", response_metadata={"model_provider": "anthropic", "frugal": {"steps": ["secret"]}})
    history: list[BaseMessage] = [HumanMessage("1+1?"), answer, HumanMessage("Sure?")]
    for model in (CHAT, RESPONSES):
        assert clean_history(history, model) is history
        assert "secret" not in str(model._get_request_payload(history))


# --- cache markers ---

MARKED = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
POINT = {"cachePoint": {"type": "default"}}


def marked(block: dict[str, Any]) -> list[BaseMessage]:
    return [SystemMessage([TEXT, block]), HumanMessage([TEXT, block]), AIMessage([TEXT, block]), HumanMessage("?")]


@pytest.mark.parametrize(("block", "native"), [(MARKED, ANTHROPIC), (POINT, BEDROCK)])
def test_cache_markers_reach_only_who_knows_them(block: dict[str, Any], native: Any) -> None:
    history = marked(block)
    assert clean_history(history, native) is history
    for model in (CHAT, RESPONSES):
        assert "cache" not in str(model._get_request_payload(clean_history(history, model)))
    assert block in history[0].content


def test_a_cache_point_crashes_the_responses_builder() -> None:
    with pytest.raises(KeyError):
        RESPONSES._get_request_payload(marked(POINT))


def test_a_turn_that_was_only_a_marker_becomes_an_empty_one() -> None:
    assert clean_history([HumanMessage([POINT])], CHAT)[0].content == ""


# --- tool-call ids ---

LEGAL = {
    "chat": r".{1,40}",
    "anthropic": r"[a-zA-Z0-9_-]{1,64}",
    "bedrock": r"[a-zA-Z0-9_-]{1,64}",
    "mistral": r"[a-zA-Z0-9]{9}",
}
MODELS = {"chat": CHAT, "anthropic": ANTHROPIC, "bedrock": BEDROCK, "mistral": MISTRAL}


def ids(messages: list[BaseMessage]) -> list[tuple[Any, ...]]:
    """Every place an id stands in, message by message."""
    found: list[tuple[Any, ...]] = []
    for message in messages:
        if isinstance(message, AIMessage):
            raw = message.additional_kwargs.get("tool_calls", ())
            blocks = message.content if isinstance(message.content, list) else ()
            calls = (*message.tool_calls, *message.invalid_tool_calls, *getattr(message, "tool_call_chunks", ()))
            found.append(tuple(str(entry["id"]) for entry in (*calls, *raw, *blocks) if isinstance(entry, dict)))
        elif isinstance(message, ToolMessage):
            found.append((message.tool_call_id,))
    return found


def called(call_id: str) -> list[BaseMessage]:
    """An id in every place where a turn may repeat it."""
    raw = {"tool_calls": [{"id": call_id, "type": "function", "function": {"name": "add", "arguments": "{}"}}]}
    use = {"type": "tool_use", "id": call_id, "name": "add", "input": {}}
    broken = InvalidToolCall(name="add", args="{", id=call_id, error="?", type="invalid_tool_call")
    answer = AIMessage([use], tool_calls=[call(call_id)], invalid_tool_calls=[broken], additional_kwargs=raw)
    chunk = AIMessageChunk(
        "", tool_call_chunks=[{"name": "add", "args": "{}", "id": call_id, "index": 0, "type": "tool_call_chunk"}]
    )
    result = ToolMessage([{"type": "tool_result", "tool_use_id": call_id, "content": "2"}], tool_call_id=call_id)
    return [HumanMessage("?"), answer, result, chunk, ToolMessage("2", tool_call_id=call_id)]


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("call_id", ["functions.add:0", "call_" + "x" * 60, "toolu_01", "a b\n", "é"])
def test_an_id_is_renamed_alike_wherever_it_stands(target: str, call_id: str) -> None:
    history = called(call_id)
    cleaned = clean_history(history, MODELS[target])
    names = {name for places in ids(cleaned) for name in places}
    assert len(names) == 1
    assert (call_id in names) == bool(re.fullmatch(LEGAL[target], call_id, re.DOTALL))
    assert all(re.fullmatch(LEGAL[target], name, re.DOTALL) for name in names)
    assert (cleaned is history) == (call_id in names)
    assert [len(places) for places in ids(cleaned)] == [len(places) for places in ids(history)]
    assert call_id not in str(cleaned) or call_id in names


def test_renaming_is_the_same_in_every_call() -> None:
    short, long = called("functions.add:0"), [*called("functions.other:1"), *called("functions.add:0")]
    assert ids(clean_history(short, ANTHROPIC)) == ids(clean_history(long, ANTHROPIC))[-len(ids(short)) :]


def test_a_new_name_that_is_taken_is_not_given() -> None:
    (taken,) = ids(clean_history([ToolMessage("2", tool_call_id="a:b")], ANTHROPIC))[0]
    history: list[BaseMessage] = [ToolMessage("1", tool_call_id=taken), ToolMessage("2", tool_call_id="a:b")]
    first, second = ids(clean_history(history, ANTHROPIC))
    assert first == (taken,)
    assert second != first


def test_two_ids_never_get_the_same_new_name() -> None:
    alike = ["call:259535", "call:511114"]  # their SHA-256 begin with the same nine digits
    cleaned = clean_history([ToolMessage("2", tool_call_id=call_id) for call_id in alike], ANTHROPIC)
    assert len(set(ids(cleaned))) == 2


def test_calls_without_an_id_are_left_alone() -> None:
    history: list[BaseMessage] = [AIMessage("", tool_calls=[call(None)])]
    assert clean_history(history, ANTHROPIC) is history


# --- properties ---

CALL_IDS = st.sampled_from(["functions.add:0", "functions.add:1", "call_1", "toolu_01", "abc123XYZ", "y" * 70, ""])
MESSAGES = st.one_of(
    st.sampled_from([*TURNS.values(), *marked(MARKED), *marked(POINT), HumanMessage("?"), AIMessage("!")]),
    CALL_IDS.map(lambda call_id: AIMessage("", tool_calls=[call(call_id)])),
    CALL_IDS.map(lambda call_id: ToolMessage("2", tool_call_id=call_id)),
)


@given(history=st.lists(MESSAGES, max_size=8), model=st.sampled_from(TARGETS))
def test_cleaning_spares_the_callers_turns_and_is_done_once(history: list[BaseMessage], model: Any) -> None:
    before, listed = copy.deepcopy(history), list(history)
    cleaned = clean_history(history, model)
    assert history == before
    assert all(new is old for new, old in zip(history, listed, strict=True))
    assert [message.type for message in cleaned] == [message.type for message in history]
    assert clean_history(cleaned, model) is cleaned


@given(history=st.lists(MESSAGES, max_size=8), target=st.sampled_from(sorted(MODELS)))
def test_ids_stay_apart_and_together(history: list[BaseMessage], target: str) -> None:
    def call_ids(messages: list[BaseMessage]) -> list[str]:
        made = [[one["id"] or "" for one in m.tool_calls] if isinstance(m, AIMessage) else [] for m in messages]
        used = [[m.tool_call_id] if isinstance(m, ToolMessage) else [] for m in messages]
        return [call_id for pair in zip(made, used, strict=True) for places in pair for call_id in places if call_id]

    old, new = call_ids(history), call_ids(clean_history(history, MODELS[target]))
    renamed = dict(zip(old, new, strict=True))
    assert [renamed[call_id] for call_id in old] == new
    assert len(set(renamed.values())) == len(renamed)
    assert all(re.fullmatch(LEGAL[target], call_id, re.DOTALL) for call_id in new)
