from __future__ import annotations

import copy
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.llms.openai.utils import to_openai_message_dicts
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall, ChoiceDeltaToolCallFunction

from llamaindex_frugal._history import clean_history


def named(*names: str, model: str = "") -> Any:
    """An LLM whose class and bases are called like an integration's, without its package."""
    cls: type = object
    for name in reversed(names):
        cls = type(name, (cls,), {"model": model})
    return cls()


CHAT, RESPONSES = named("OpenAI"), named("OpenAIResponses", "FunctionCallingLLM")
ANTHROPIC, COHERE, HUGGING = named("Anthropic"), named("Cohere"), named("HuggingFaceInferenceAPI")
BEDROCK, BEDROCK_NOVA = named("BedrockConverse", model="us.anthropic.claude-x"), named("BedrockConverse", model="amazon.nova")
BEDROCK_ARN = named("BedrockConverse", model="arn:aws:bedrock:us-east-1:1:application-inference-profile/x")
GEMINI, GEMINI_3 = named("GoogleGenAI", model="gemini-2.5-pro"), named("GoogleGenAI", model="models/gemini-3-pro-preview")
GROQ, LITELLM, OLLAMA = named("Groq", "OpenAILike", "OpenAI"), named("LiteLLM"), named("Ollama")
MAGISTRAL, MISTRAL = named("MistralAI", model="magistral-medium-latest"), named("MistralAI", model="mistral-large-latest")
OPENROUTER, FRUGAL, UNKNOWN = named("OpenRouter", "OpenAILike", "OpenAI"), named("FrugalLLM"), MockFunctionCallingLLM()
TARGETS = {
    "anthropic": ANTHROPIC,
    "bedrock": BEDROCK,
    "bedrock nova": BEDROCK_NOVA,
    "chat": CHAT,
    "cohere": COHERE,
    "gemini": GEMINI,
    "gemini 3": GEMINI_3,
    "groq": GROQ,
    "hugging face": HUGGING,
    "litellm": LITELLM,
    "magistral": MAGISTRAL,
    "mistral": MISTRAL,
    "ollama": OLLAMA,
    "openrouter": OPENROUTER,
    "responses": RESPONSES,
    "unknown": UNKNOWN,
}
BLOCKS = [name for name in TARGETS if name not in {"cohere", "hugging face", "litellm", "unknown"}]
"""Whose converters read tool calls in blocks."""

# --- turns as the integrations produce them ---

TEXT = TextBlock(text="Let me see.")


def called(call_id: str | None, arguments: Any, name: str = "add") -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=call_id, tool_name=name, tool_kwargs=arguments)


def thought(**known: Any) -> ThinkingBlock:
    return ThinkingBlock(content="Hm.", additional_information=known)


def answer(*blocks: Any, **kwargs: Any) -> ChatMessage:
    return ChatMessage(role="assistant", blocks=list(blocks), additional_kwargs=kwargs)


def result(call_id: str | None = "call_1", text: str = "2") -> ChatMessage:
    return ChatMessage(role="tool", content=text, additional_kwargs={} if call_id is None else {"tool_call_id": call_id})


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def sdk(call_id: str) -> ChoiceDeltaToolCall:
    function = ChoiceDeltaToolCallFunction(name="add", arguments='{"a": 1}')
    return ChoiceDeltaToolCall(index=0, id=call_id, function=function, type="function")


def sdk_like(**fields: Any) -> Any:
    """An SDK's object: attributes only."""
    return SimpleNamespace(**fields)


CITATION = CitationBlock(cited_content=TextBlock(text="c"), source="s", title="t", additional_location_info={})
CLAUDES = thought(signature="SIG", type="thinking")
GEMINIS = thought(thought=True, thought_signature=b"SIG", inline_data=None)
OPENAIS = thought(id="rs_1", type="reasoning", encrypted_content="ENC", status=None)
NOBODYS = thought()
TURNS = {
    # what it is: (the turn, the tool_call_id that its result carries)
    "anthropic": (
        answer(CLAUDES, TEXT, CITATION, called("toolu_01", {"a": 1}), usage={"output_tokens": 9}, stop_reason="tool_use"),
        "toolu_01",
    ),
    "bedrock": (
        answer(thought(signature="SIG"), TEXT, called("tooluse_1", {"a": 1}), tool_call_id=["tooluse_1"], status=[]),
        "tooluse_1",
    ),
    "chat": (answer(TEXT, called("call_1", '{"a": 1}'), tool_calls=[sdk("call_1")]), "call_1"),
    "cohere": (answer(TEXT, tool_calls=[sdk_like(name="add", parameters={"a": 1})]), "add"),
    "gemini": (
        answer(GEMINIS, TEXT, called("add", {"a": 1}), thought_signatures=[b"SIG", None, b"SIG"], prompt_tokens=1),
        "add",
    ),
    "hugging face": (
        answer(TEXT, tool_calls=[sdk_like(id="call_1", function=sdk_like(name="add", arguments='{"a": 1}'))]),
        "call_1",
    ),
    "litellm": (
        answer(
            TEXT,
            tool_calls=[{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
        ),
        "call_1",
    ),
    "magistral": (answer(NOBODYS, TEXT, called("abc123XYZ", '{"a": 1}')), "abc123XYZ"),
    "ollama": (answer(NOBODYS, TEXT, called(None, {"a": 1})), "add"),
    "old anthropic": (answer(TEXT, tool_calls=[{"id": "toolu_01", "name": "add", "input": {"a": 1}}]), "toolu_01"),
    "old bedrock": (answer(TEXT, tool_calls=[{"toolUseId": "t_1", "name": "add", "input": '{"a": 1}'}]), "t_1"),
    "old responses": (
        answer(
            TEXT,
            tool_calls=[{"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "add", "arguments": '{"a": 1}'}],
        ),
        "call_1",
    ),
    "reasoner": (answer(NOBODYS, TEXT, called("functions.add:0", '{"a": 1}')), "functions.add:0"),
    "responses": (answer(OPENAIS, TEXT, called("call_1", '{"a": 1}')), "call_1"),
}
SIGNED = {"anthropic", "bedrock", "gemini", "responses"}
LEAKS = re.compile(r"Hm\.|SIG|ENC|rs_1|usage|stop_reason|prompt_tokens|thought_signatures|tooluse_1'\]|status|frugal")


def told(name: str) -> list[ChatMessage]:
    """A conversation around one answer that called a tool."""
    turn, call_id = TURNS[name]
    system = ChatMessage(role="system", content="Be kind.")
    return [system, user("1+1?"), turn, result(call_id), answer(TextBlock(text="Two.")), user("Sure?")]


def wire(messages: Any, *, responses: bool = False) -> Any:
    """What llama-index-llms-openai would send."""
    sent = to_openai_message_dicts(list(messages), is_responses_api=responses, store=True)
    return json.loads(json.dumps(sent))


def calls(message: ChatMessage) -> list[tuple[Any, ...]]:
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    return [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]


# --- what goes back untouched ---


@pytest.mark.parametrize("target", TARGETS)
def test_plain_turns_are_the_same_object(target: str) -> None:
    history = [ChatMessage(role="system", content="Be kind."), user("1+1?"), answer(TextBlock(text="Two.")), user("Sure?")]
    assert clean_history(history, TARGETS[target]) is history
    assert clean_history(tuple(history), TARGETS[target]) == tuple(history)


@pytest.mark.parametrize(
    "name", ["anthropic", "bedrock", "chat", "cohere", "gemini", "litellm", "magistral", "ollama", "responses"]
)
def test_a_providers_own_turns_go_back_to_it_untouched(name: str) -> None:
    history = told(name)
    assert clean_history(history, TARGETS[name]) is history


def test_the_signatures_of_gemini_go_back_to_its_next_version() -> None:
    history = told("gemini")
    assert clean_history(history, GEMINI_3) is history


@pytest.mark.parametrize("name", TURNS)
def test_a_cascade_within_a_cascade_cleans_for_itself(name: str) -> None:
    history = told(name)
    assert clean_history(history, FRUGAL) is history


def test_classes_are_known_by_their_bases() -> None:
    history = told("anthropic")
    assert clean_history(history, named("OurClaude", "Anthropic")) is history
    assert clean_history(history, named("Groq", "OpenAILike", "OpenAI"))[2].blocks[0] is TEXT


# --- what does not ---


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("target", BLOCKS)
def test_text_and_tool_calls_reach_every_provider(name: str, target: str) -> None:
    history = told(name)
    cleaned = clean_history(history, TARGETS[target])
    assert [message.role for message in cleaned] == [message.role for message in history]
    assert [new is old for new, old in zip(cleaned, history, strict=True)][:2] == [True, True]
    assert [new is old for new, old in zip(cleaned, history, strict=True)][4:] == [True, True]
    turn = cleaned[2]
    assert turn.content == "Let me see."
    ((call_id, tool, arguments),) = calls(turn)
    assert tool == "add"
    assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == {"a": 1}
    if target not in {"gemini", "gemini 3", "ollama"}:  # which pair by name and by place
        assert cleaned[3].additional_kwargs["tool_call_id"] == call_id
    if target in {"anthropic", "bedrock", "bedrock nova", "gemini", "gemini 3", "ollama"}:
        assert isinstance(arguments, dict)
    if target in {"chat", "groq", "openrouter", "responses"}:
        assert isinstance(arguments, str)
    if target not in {"chat", "groq", "openrouter"}:  # which do not look there beside blocks
        assert "tool_calls" not in turn.additional_kwargs


THINKERS = {
    # whose thoughts: who takes them
    "anthropic": {"anthropic", "bedrock"},
    "bedrock": {"anthropic", "bedrock"},
    "gemini": {"gemini", "gemini 3"},
    "responses": {"responses"},
    "ollama": {"bedrock nova", "chat", "groq", "magistral", "ollama", "openrouter"},
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", THINKERS)
def test_thoughts_reach_only_who_can_read_them(name: str, target: str) -> None:
    turn = clean_history(told(name), TARGETS[target])[2]
    thoughts = [block for block in turn.blocks if isinstance(block, ThinkingBlock)]
    assert thoughts == (TURNS[name][0].blocks[:1] if target in THINKERS[name] else [])


@pytest.mark.parametrize(
    ("block", "takers"),
    [
        (thought(signature=""), {"nova", "arn"}),  # a stream that was cut, and Bedrock's others
        (thought(signature=None), {"nova", "arn"}),
        (thought(signature="SIG"), {"claude", "arn"}),
        (thought(id="rs_1"), set()),
        (thought(type="reasoning"), set()),
        (thought(thought_signature=None), set()),
    ],
)
def test_bedrock_takes_what_its_model_signs(block: ThinkingBlock, takers: set[str]) -> None:
    turn = answer(block, TEXT)
    kept = {
        name
        for name, llm in {"claude": BEDROCK, "nova": BEDROCK_NOVA, "arn": BEDROCK_ARN}.items()
        if clean_history([turn], llm)[0] is turn
    }
    assert kept == takers


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("target", ["chat", "cohere", "hugging face", "litellm", "mistral", "unknown"])
def test_nothing_private_is_left(name: str, target: str) -> None:
    turn = clean_history(told(name), TARGETS[target])[2]
    thoughts = [block for block in turn.blocks if isinstance(block, ThinkingBlock)]
    assert all(not block.additional_information for block in thoughts)
    assert not any(isinstance(block, CitationBlock) for block in turn.blocks)
    assert "thought_signatures" not in turn.additional_kwargs


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_openais_converter_sends_no_foreign_part(name: str, responses: bool) -> None:
    history = told(name)
    sent = wire(clean_history(history, RESPONSES if responses else CHAT), responses=responses)
    if name != "responses":
        assert not LEAKS.search(str(sent))
    assert "Let me see." in str(sent)
    if responses:
        (call,) = [item for item in sent if item.get("type") == "function_call"]
        (told_back,) = [item for item in sent if item.get("type") == "function_call_output"]
        assert (call["name"], call["arguments"]) == ("add", '{"a": 1}')
        assert call["call_id"] == told_back["call_id"]
    else:
        (call,) = sent[2]["tool_calls"]
        assert call["function"] == {"name": "add", "arguments": '{"a": 1}'}
        assert call["id"] == sent[3]["tool_call_id"]
        assert sent[2].keys() == {"role", "content", "tool_calls"}


@pytest.mark.parametrize(
    ("name", "responses", "fault"),
    [
        ("anthropic", False, "Unsupported content block type: CitationBlock"),
        ("anthropic", True, "Unsupported content block type: CitationBlock"),
        ("bedrock", False, "'tool_call_id': ['tooluse_1']"),
        ("chat", True, "'function': {"),
        ("cohere", False, "not JSON serializable"),
        ("ollama", False, "'id': None"),
        ("old anthropic", False, "'input': {'a': 1}"),
    ],
)
def test_openais_own_converter_would_have_failed(name: str, responses: bool, fault: str) -> None:
    """Why the rules exist; a row that fails here is one that llama-index-llms-openai has taken over."""
    history = told(name)
    try:
        seen = str(wire(history, responses=responses))
    except (TypeError, ValueError) as error:
        seen = str(error)
    assert fault in seen
    assert fault not in str(wire(clean_history(history, RESPONSES if responses else CHAT), responses=responses))


# --- converters that look for calls in additional_kwargs alone ---


@pytest.mark.parametrize("name", TURNS)
def test_litellm_gets_its_dicts_and_nothing_else(name: str) -> None:
    turn, told_back = clean_history([*told(name)[2:4]], LITELLM)
    assert [block.block_type for block in turn.blocks] == ["text"]  # its converter raises on most others
    (call,) = turn.additional_kwargs["tool_calls"]
    assert turn.additional_kwargs.keys() == {"tool_calls"}  # all of them are sent
    assert (call["type"], call["function"]) == ("function", {"name": "add", "arguments": '{"a": 1}'})
    assert call["id"] == told_back.additional_kwargs["tool_call_id"]
    if name != "reasoner":  # whose id some of its backends refuse
        assert call["id"] == TURNS[name][1]


@pytest.mark.parametrize("name", TURNS)
def test_cohere_and_hugging_face_get_their_objects(name: str) -> None:
    (call,) = clean_history([*told(name)[2:4]], COHERE)[0].additional_kwargs["tool_calls"]
    assert call.__dict__ == {"name": "add", "parameters": {"a": 1}}
    turn, told_back = clean_history([*told(name)[2:4]], HUGGING)
    (call,) = turn.additional_kwargs["tool_calls"]
    assert (call.function.name, call.function.arguments) == ("add", '{"a": 1}')
    assert call.id == told_back.additional_kwargs["tool_call_id"]


@pytest.mark.parametrize("target", ["anthropic", "bedrock", "chat", "cohere", "gemini", "litellm", "mistral", "ollama"])
def test_coheres_none_for_no_calls_is_taken_away(target: str) -> None:
    turn = answer(TextBlock(text="Two."), tool_calls=None)
    (cleaned,) = clean_history([turn], TARGETS[target])
    assert cleaned.additional_kwargs == {}
    assert cleaned.content == "Two."
    with pytest.raises(TypeError):
        wire([turn], responses=True)


@pytest.mark.parametrize("raw", [["<tool"], [{"name": ""}], [{"function": {}}], [None], [3], 3])
def test_what_is_no_call_is_not_taken_for_one(raw: Any) -> None:
    (cleaned,) = clean_history([answer(TEXT, tool_calls=raw)], ANTHROPIC)
    assert cleaned.blocks == [TEXT]
    assert cleaned.additional_kwargs == {}


def test_a_call_of_which_only_the_name_can_be_read_is_one() -> None:
    (cleaned,) = clean_history([answer(tool_calls=[{"name": "add", "id": 3, "args": [1]}])], ANTHROPIC)
    assert calls(cleaned) == [("add", "add", {})]


def test_an_unknown_class_keeps_its_calls_as_they_are() -> None:
    for name in ("chat", "cohere", "old anthropic"):
        history = told(name)
        assert clean_history(history, UNKNOWN) is history


@pytest.mark.parametrize(
    ("arguments", "read"),
    [("", {}), ('{"a": 1}', {"a": 1}), ('{"a": 1', {"a": 1}), ("[1]", {}), ("nonsense", {}), ("null", {}), ({}, {})],
)
def test_arguments_become_an_object_where_one_is_wanted(arguments: Any, read: dict[str, Any]) -> None:
    (cleaned,) = clean_history([answer(called("c", arguments))], ANTHROPIC)
    assert calls(cleaned) == [("c", "add", read)]


# --- turns of which little is left ---


@pytest.mark.parametrize("block", [GEMINIS, NOBODYS, TextBlock(text=""), TextBlock(text="\n\n"), CachePoint])
@pytest.mark.parametrize("target", ["anthropic", "bedrock", "mistral"])
def test_no_provider_that_refuses_it_gets_an_empty_turn(block: Any, target: str) -> None:
    block = CachePoint(cache_control=CacheControl(type="ephemeral")) if block is CachePoint else block
    cleaned = clean_history([user("?"), answer(block), user("!")], TARGETS[target])
    assert [message.content for message in cleaned] == ["?", "...", "!"]


def test_a_turn_that_was_empty_from_the_start_is_no_exception() -> None:
    assert clean_history([user("?"), answer(), user("!")], ANTHROPIC)[1].content == "..."
    for history, llm in (([answer()], CHAT), ([user("")], ANTHROPIC)):  # no answer of ours, and nobody's to change
        assert clean_history(history, llm) is history


def test_gemini_gets_no_empty_turn() -> None:
    cleaned = clean_history([user("?"), answer(CLAUDES), user("!")], GEMINI)
    assert [message.content for message in cleaned] == ["?", "...", "!"]


@pytest.mark.parametrize("target", ["chat", "ollama", "unknown", "litellm"])
def test_others_get_an_empty_text(target: str) -> None:
    cleaned = clean_history([user("?"), answer(GEMINIS), user("!")], TARGETS[target])
    assert [message.content for message in cleaned] == ["?", "", "!"]


def test_an_unreadable_thought_says_nothing_and_a_readable_one_does() -> None:
    own = ThinkingBlock(content="Hm.", additional_information={"signature": "SIG"})
    veiled = ThinkingBlock(content=None, additional_information={"signature": "SIG"})
    history = [answer(own)]
    assert clean_history(history, ANTHROPIC) is history
    assert clean_history([answer(veiled)], ANTHROPIC)[0].content == "..."


@pytest.mark.parametrize("target", ["anthropic", "bedrock", "gemini"])
def test_blank_text_beside_a_call_is_left_out(target: str) -> None:
    (cleaned,) = clean_history([answer(TextBlock(text="\n\n"), called("c", {}))], TARGETS[target])
    assert [block.block_type for block in cleaned.blocks] == ["tool_call"]


# --- blocks that only some take ---

CITABLE = CitableBlock(title="t", source="s", content=[TextBlock(text="Cats purr.")])


@pytest.mark.parametrize("target", TARGETS)
def test_things_to_cite_become_text_where_they_are_unknown(target: str) -> None:
    history = [ChatMessage(role="user", blocks=[TEXT, CITABLE])]
    cleaned = clean_history(history, TARGETS[target])
    if target == "anthropic":
        assert cleaned is history
    else:
        assert cleaned[0].blocks == [TEXT, TextBlock(text="Cats purr.")]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("kind", "native"), [("ephemeral", "anthropic"), ("default", "bedrock")])
def test_cache_points_are_translated_or_taken_away(target: str, kind: str, native: str) -> None:
    point = CachePoint(cache_control=CacheControl(type=kind, ttl="1h"))
    history = [ChatMessage(role=role, blocks=[TEXT, point]) for role in ("system", "user", "assistant")]
    cleaned = clean_history(history, TARGETS[target])
    expected = {"anthropic": "ephemeral", "bedrock": "default", "bedrock nova": "default"}.get(target)
    for message in cleaned:
        points = [block for block in message.blocks if isinstance(block, CachePoint)]
        assert [block.cache_control.model_dump() for block in points] == ([{"type": expected, "ttl": "1h"}] if expected else [])
    assert (cleaned is history) == (expected == kind)
    assert point.cache_control.type == kind


def test_anthropics_converter_raises_on_a_leading_cache_point() -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    assert clean_history([answer(GEMINIS, point, TEXT)], ANTHROPIC)[0].blocks == [TEXT]
    assert clean_history([answer(CLAUDES, point, TEXT)], ANTHROPIC)[0].blocks == [CLAUDES, point, TEXT]
    assert len(clean_history([ChatMessage(role="user", blocks=[point, TEXT])], BEDROCK)[0].blocks) == 2


@pytest.mark.parametrize(
    ("block", "takers"),
    [
        (AudioBlock(audio=b"UklGRg==", format="wav"), {"chat", "groq", "litellm", "openrouter"}),
        (
            ImageBlock(image=b"iVBORw0KGgo=", image_mimetype="image/png"),
            TARGETS.keys() - {"anthropic", "bedrock", "bedrock nova"},
        ),
    ],
)
def test_what_a_model_spoke_or_drew(block: Any, takers: set[str]) -> None:
    drawn, shown = answer(TEXT, block), ChatMessage(role="user", blocks=[TEXT, block])
    kept = {name for name, llm in TARGETS.items() if clean_history([drawn], llm)[0].blocks[-1] is block}
    assert kept == takers
    assert all(clean_history([shown], llm)[0] is shown for llm in TARGETS.values())


# --- roles ---


@pytest.mark.parametrize("target", TARGETS)
def test_roles_of_one_maker_are_said_in_everyones(target: str) -> None:
    roles = [MessageRole.DEVELOPER, MessageRole.USER, MessageRole.MODEL, MessageRole.USER, MessageRole.CHATBOT]
    history = [ChatMessage(role=role, content="a") for role in roles]
    seen = [message.role.value for message in clean_history(history, TARGETS[target])]
    if target == "unknown":
        assert seen == ["developer", "user", "model", "user", "chatbot"]
    else:
        first = "developer" if target in {"chat", "groq", "litellm", "openrouter", "responses"} else "system"
        assert seen == [first, "user", "assistant", "user", "assistant"]


# --- what stands beside the content ---


@pytest.mark.parametrize("target", TARGETS)
def test_our_own_keys_reach_no_provider(target: str) -> None:
    history = [
        ChatMessage(role=role, content="a", additional_kwargs={"frugal": {"steps": ["secret"]}, "tool_call_id": "c"})
        for role in ("system", "user", "assistant", "tool")
    ]
    cleaned = clean_history(history, TARGETS[target])
    assert not any("frugal" in message.additional_kwargs for message in cleaned)
    assert all("frugal" in message.additional_kwargs for message in history)


@pytest.mark.parametrize("target", [name for name in TARGETS if not name.startswith("bedrock")])
def test_an_answer_carries_no_id_of_a_result(target: str) -> None:
    """An agent's `return_direct` and Bedrock leave one there; Gemini's converter takes the answer for a result."""
    history = [answer(TEXT, tool_call_id="c"), result("c"), answer(TEXT, tool_call_id=["c"], status=["success"])]
    first, told_back, last = clean_history(history, TARGETS[target])
    assert (first.additional_kwargs, last.additional_kwargs) == ({}, {})
    assert told_back.additional_kwargs["tool_call_id"]


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "litellm"])
def test_what_memory_notes_is_left_alone(target: str) -> None:
    history = [answer(TextBlock(text="a"), session_id="s"), ChatMessage(content="b", additional_kwargs={"session_id": "s"})]
    assert clean_history(history, TARGETS[target]) is history
    assert all(message.additional_kwargs == {} for message in clean_history(history, LITELLM))


@pytest.mark.parametrize("name", [name for name in TURNS if name != "gemini"])
def test_gemini_3_is_told_to_skip_the_signature_of_anothers_call(name: str) -> None:
    turn = clean_history(told(name), GEMINI_3)[2]
    signatures = turn.additional_kwargs["thought_signatures"]
    signed = [block for block, signature in zip(turn.blocks, signatures, strict=False) if signature]
    assert [block.block_type for block in signed] == ["tool_call"]
    assert signatures[-1] == b"skip_thought_signature_validator"
    assert "thought_signatures" not in clean_history(told(name), GEMINI)[2].additional_kwargs


def test_gemini_3_is_told_so_of_the_unsigned_calls_of_its_elders() -> None:
    elder = answer(TEXT, called("add", {}), thought_signatures=[None, None])
    (cleaned,) = clean_history([elder], GEMINI_3)
    assert cleaned.additional_kwargs["thought_signatures"] == [None, b"skip_thought_signature_validator"]
    plain = [answer(TEXT, thought_signatures=[None])]
    assert clean_history(plain, GEMINI_3) is plain


def test_geminis_converter_merges_neighbours_in_the_callers_lists() -> None:
    def merge(messages: Any) -> None:
        messages[1].blocks.extend(messages[2].blocks)
        messages[1].additional_kwargs.update(messages[2].additional_kwargs)

    history = [ChatMessage(role="system", content="S"), user("a"), user("b"), answer(TEXT)]
    history[2].additional_kwargs["session_id"] = "s"
    cleaned = clean_history(history, GEMINI)
    assert [new is old for new, old in zip(cleaned, history, strict=True)] == [True, False, True, True]
    assert cleaned == history
    merge(cleaned)
    assert history[1] == user("a")
    apart = [ChatMessage(role="system", content="S"), user("a"), answer(TEXT), result(), user("b"), answer(TEXT)]
    assert clean_history(apart, GEMINI) is apart  # results are not merged
    assert clean_history([], GEMINI) == []
    plain = [user("a"), user("b")]
    assert clean_history(plain, GEMINI)[0] is not plain[0]


# --- tool-call ids ---

LEGAL = {
    "anthropic": r"[a-zA-Z0-9_-]{1,64}",
    "bedrock": r"[a-zA-Z0-9_-]{1,64}",
    "chat": r".{1,40}",
    "groq": r".{1,40}",
    "mistral": r"[a-zA-Z0-9]{9}",
    "openrouter": r"[a-zA-Z0-9_-]{1,40}",
    "responses": r".{1,40}",
}


def pairs(messages: Any) -> tuple[list[Any], list[Any]]:
    made = [call_id for message in messages for call_id, _, _ in calls(message)]
    used = [message.additional_kwargs.get("tool_call_id") for message in messages if message.role is MessageRole.TOOL]
    return made, used


@pytest.mark.parametrize("target", LEGAL)
@pytest.mark.parametrize("call_id", ["functions.add:0", "call_" + "x" * 60, "toolu_01", "a b\n", "é", "abc123XYZ"])
def test_an_id_is_renamed_alike_wherever_it_stands(target: str, call_id: str) -> None:
    history = [answer(TEXT, called(call_id, '{"a": 1}'), tool_calls=[sdk(call_id)]), result(call_id), user("?")]
    cleaned = clean_history(history, TARGETS[target])
    (made,), (used,) = pairs(cleaned)
    assert made == used
    assert re.fullmatch(LEGAL[target], made, re.DOTALL)
    assert (made == call_id) == bool(re.fullmatch(LEGAL[target], call_id, re.DOTALL))
    if made != call_id:
        assert call_id not in str(cleaned)  # nor in the SDK's objects
    assert pairs(history) == ([call_id], [call_id])


@pytest.mark.parametrize("target", LEGAL)
def test_calls_that_share_an_id_are_told_apart(target: str) -> None:
    """Ollama's have none, Gemini's on Vertex their tool's name; their results carry that name."""
    both = [answer(called(None, {"a": 1}), called(None, {"a": 2})), result("add", "1"), result("add", "2")]
    history = [user("?"), *both, answer(TEXT), user("?"), answer(called("add", {"a": 3})), result("add", "3"), user("!")]
    made, used = pairs(clean_history(history, TARGETS[target]))
    assert made == used
    assert len(set(made)) == 3
    assert all(re.fullmatch(LEGAL[target], name, re.DOTALL) for name in made)


@pytest.mark.parametrize("missing", ["", None])
def test_results_without_an_id_answer_in_order(missing: str | None) -> None:
    history = [answer(called("", {}, "add"), called("", {}, "mul")), result(missing, "1"), result(missing, "2")]
    made, used = pairs(clean_history(history, CHAT))
    assert made == used == ["add", "mul"]


def test_results_may_come_late_and_under_another_key() -> None:
    first = answer(called(None, {"a": 1}), called(None, {"a": 2}))
    history = [first, user("?"), answer(called(None, {}, "mul")), result("add"), result("add"), result("mul")]
    made, used = pairs(clean_history(history, MISTRAL))
    assert made == used
    other = ChatMessage(role="tool", content="2", additional_kwargs={"call_id": "a:b"})  # as the Responses API calls it
    made, used = pairs(clean_history([answer(called("c:d", {}), called("a:b", {})), other], ANTHROPIC))
    assert used == made[1:]


def test_a_call_that_was_never_answered_takes_no_later_result() -> None:
    history = [answer(called("add", {})), user("?"), answer(called("add", {})), result("add")]
    made, used = pairs(clean_history(history, CHAT))
    assert used == made[1:]
    assert made[0] != made[1]


def test_a_result_told_twice_keeps_its_call() -> None:
    made, used = pairs(clean_history([answer(called("a:b", {})), result("a:b"), result("a:b")], ANTHROPIC))
    assert used == made * 2
    history = [answer(called("add", {})), result("add"), answer(called("add", {})), result("add"), result("add")]
    made, used = pairs(clean_history(history, CHAT))
    assert used == [made[0], made[1], made[1]]


def test_results_without_a_call_are_left_alone_but_for_a_refused_id() -> None:
    history = [result("call_1"), result(None)]
    assert clean_history(history, ANTHROPIC) is history
    (renamed,) = pairs(clean_history([result("a:b")], ANTHROPIC))[1]
    assert re.fullmatch(LEGAL["anthropic"], renamed)


def test_a_new_name_that_is_taken_is_not_given() -> None:
    history = [answer(called("add", {})), answer(called("add", {})), answer(called("add#2", {})), answer(called("add#2", {}))]
    made, _ = pairs(clean_history(history, CHAT))
    assert len(set(made)) == 4


def test_renaming_is_the_same_in_every_call() -> None:
    history = [answer(called("functions.add:0", {})), result("functions.add:0")]
    longer = [*history, user("?"), answer(called("functions.add:0", {})), result("functions.add:0")]
    assert pairs(clean_history(longer, ANTHROPIC))[0][:1] == pairs(clean_history(history, ANTHROPIC))[0]


def test_who_needs_no_ids_keeps_them() -> None:
    history = [answer(called("é" * 70, {})), result("é" * 70)]
    for llm in (GEMINI, OLLAMA, UNKNOWN):
        assert clean_history(history, llm) is history


# --- properties ---

MESSAGES = st.one_of(
    st.sampled_from([turn for turn, _ in TURNS.values()]),
    st.sampled_from([user("?"), answer(TextBlock(text="!")), answer(GEMINIS), answer(TextBlock(text=""))]),
    st.sampled_from([ChatMessage(role="user", blocks=[TEXT, CITABLE]), ChatMessage(role="system", content="S")]),
    st.sampled_from(["functions.add:0", "call_1", "add", "", "y" * 70]).map(result),
    st.sampled_from(["functions.add:0", "call_1", "add", None]).map(lambda call_id: answer(called(call_id, "{}"))),
)


@given(history=st.lists(MESSAGES, max_size=8), target=st.sampled_from(sorted(TARGETS)))
def test_cleaning_spares_the_callers_turns_and_is_done_once(history: list[ChatMessage], target: str) -> None:
    before, listed = copy.deepcopy(history), list(history)
    cleaned = clean_history(history, TARGETS[target])
    assert history == before
    assert all(new is old for new, old in zip(history, listed, strict=True))
    assert len(cleaned) == len(history)
    again = clean_history(cleaned, TARGETS[target])
    assert list(again) == list(cleaned)
    if not target.startswith("gemini"):  # neighbours are copied each time
        assert again is cleaned


@given(history=st.lists(MESSAGES, max_size=8), target=st.sampled_from(sorted(LEGAL)))
def test_ids_are_legal_and_apart(history: list[ChatMessage], target: str) -> None:
    made, used = pairs(clean_history(history, TARGETS[target]))
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(LEGAL[target], name, re.DOTALL) for name in made)
    assert all(re.fullmatch(LEGAL[target], name, re.DOTALL) for name in used if name)
