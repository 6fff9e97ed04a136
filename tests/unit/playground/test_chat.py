"""Chat completions in process: what is read, what is written, and when it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from frugal_core.playground import questions
from frugal_core.playground.chat import ChatError, ChatRequest, Choice, complete, prompt_tokens, stream
from frugal_core.playground.language_model import LanguageModel

LARGE = "playground-large"
SUM = "What is 12 plus 7?"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel.load(LARGE)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def ask(model: LanguageModel, text: str, **options: Any) -> Choice:
    return complete(model, ChatRequest([user(text)], **options)).choices[0]


# -- what is read


def test_answers_questions_that_it_was_trained_for(model: LanguageModel) -> None:
    asked = questions.generate(40, seed=5)
    right = sum(questions.is_correct(ask(model, question.text).text, question.answer) for question in asked)
    assert right >= 20


def test_reads_only_the_last_user_turn_but_bills_everything(model: LanguageModel) -> None:
    alone = complete(model, ChatRequest([user(SUM)]))
    system = {"role": "system", "content": "You are a pirate. " * 100}
    history = [system, user("What is 90 minus 1?"), {"role": "assistant", "content": "89"}, user(SUM)]
    whole = complete(model, ChatRequest(history))
    assert whole.choices == alone.choices
    assert whole.usage.output_tokens == alone.usage.output_tokens
    assert whole.usage.input_tokens > alone.usage.input_tokens + 100


def test_prompt_tokens_count_messages_tools_and_calls(model: LanguageModel) -> None:
    tokenizer = model.tokenizer
    assert prompt_tokens(model, ChatRequest([user(SUM)])) == len(tokenizer.encode(SUM)) + 2
    tool = {"type": "function", "function": {"name": "add"}}
    offered = prompt_tokens(model, ChatRequest([user(SUM)], tools=[tool]))
    assert offered == len(tokenizer.encode(SUM)) + 2 + len(tokenizer.encode(json.dumps(tool)))


def test_text_blocks_are_read_and_images_are_not(model: LanguageModel) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    blocks = [{"type": "text", "text": SUM}, image]
    assert complete(model, ChatRequest([{"role": "user", "content": blocks}])) == complete(model, ChatRequest([user(SUM)]))


def test_context_window_bounds_the_last_user_turn(model: LanguageModel) -> None:
    frame = len(model.prompt(""))
    longest = "x" * (model.context_window - frame - 1)
    assert ask(model, longest).finish_reason == "length"
    with pytest.raises(ChatError, match=r"limit of 255 tokens.* resulted in 256 tokens") as caught:
        stream(model, ChatRequest([user(longest + "x")]))
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "context_length_exceeded", "messages")


# -- what is written


def test_stream_and_whole_answer_are_the_same(model: LanguageModel) -> None:
    request = ChatRequest([user(SUM)], n=3, temperature=1.0, seed=3, logprobs=True, top_logprobs=2)
    whole, steps = complete(model, request), list(stream(model, request))
    for index, choice in enumerate(whole.choices):
        own = [delta for delta in steps if delta.choice == index]
        assert "".join(delta.text for delta in own) == choice.text
        assert [delta.finish_reason for delta in own] == [None] * (len(own) - 1) + [choice.finish_reason]
        assert sum((delta.logprobs for delta in own), ()) == choice.logprobs
    assert whole.usage.output_tokens == sum(delta.tokens for delta in steps)


def test_the_answer_is_never_empty(model: LanguageModel) -> None:
    assert all(ask(model, text).text for text in ("", "Hello", "hi", "?", "Write me 2 haikus."))


def test_temperature_zero_repeats_itself(model: LanguageModel) -> None:
    assert ask(model, SUM) == ask(model, SUM, seed=7)


def test_a_seed_makes_sampling_reproducible(model: LanguageModel) -> None:
    options: dict[str, Any] = {"temperature": 2.0, "n": 8}
    request = ChatRequest([user("Say something.")], seed=4, **options)
    first = complete(model, request)
    assert complete(model, request) == first
    assert len({choice.text for choice in first.choices}) > 1
    assert complete(model, ChatRequest([user("Say something.")], seed=5, **options)) != first
    assert complete(model, ChatRequest([user("Say something.")], seed=-1, **options)).choices


def test_choices_of_a_seed_are_those_of_the_following_seeds(model: LanguageModel) -> None:
    several = complete(model, ChatRequest([user(SUM)], seed=10, temperature=2.0, n=3)).choices
    assert several == tuple(ask(model, SUM, seed=seed, temperature=2.0) for seed in (10, 11, 12))


# -- log-probabilities


def test_logprobs_come_with_the_best_alternatives(model: LanguageModel) -> None:
    answer = ask(model, SUM, logprobs=True, top_logprobs=4)
    assert "".join(token.token for token in answer.logprobs) == answer.text
    for token in answer.logprobs:
        best = [logprob for _, logprob in token.top]
        assert len(best) == 4
        assert best == sorted(best, reverse=True)
        assert (token.token, token.logprob) == token.top[0]
        assert max(best) <= 0


def test_logprobs_without_alternatives_and_none_at_all(model: LanguageModel) -> None:
    assert all(token.top == () for token in ask(model, SUM, logprobs=True).logprobs)
    assert ask(model, SUM).logprobs == ()


# -- where it ends


def test_max_tokens_cut_the_answer(model: LanguageModel) -> None:
    result = complete(model, ChatRequest([user("What can you do?")], max_tokens=2))
    assert result.choices[0].finish_reason == "length"
    assert result.usage.output_tokens == 2
    assert ask(model, "What can you do?").text.startswith(result.choices[0].text)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_ends_before_a_stop_text_wherever_that_lies(model: LanguageModel, length: int) -> None:
    whole = ask(model, "What can you do?").text
    for start in range(len(whole) - length + 1):
        stop = whole[start : start + length]
        answer = ask(model, "What can you do?", stop=["never", stop], logprobs=True)
        assert answer.text == whole[: whole.index(stop)]
        assert answer.finish_reason == "stop"
        assert "".join(token.token for token in answer.logprobs) == answer.text


def test_text_that_only_begins_like_a_stop_text_is_kept(model: LanguageModel) -> None:
    whole = ask(model, "What can you do?")
    assert ask(model, "What can you do?", stop=[whole.text[-3:] + "x"]) == whole


# -- structured answers


def schema(**properties: Any) -> dict[str, Any]:
    form = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": form}}


def test_a_number_in_json_is_the_number_that_the_model_answers(model: LanguageModel) -> None:
    for text in ("What is 12 plus 7?", "What is 30 plus 41?", "How much is 9 - 4?", "Which is larger, 3 or 88?"):
        answer = ask(model, text, response_format=schema(value={"type": "integer"}))
        assert json.loads(answer.text) == {"value": int(ask(model, text).text)}
        assert answer.finish_reason == "stop"


def test_a_string_in_json_is_the_text_that_the_model_answers(model: LanguageModel) -> None:
    text = "What day is 3 days after Monday?"
    answer = ask(model, text, response_format=schema(day={"type": "string"}))
    assert json.loads(answer.text) == {"day": ask(model, text).text}


def test_a_boolean_in_json_is_yes_or_no(model: LanguageModel) -> None:
    for text in ("Is 80 larger than 3?", "Is 3 larger than 80?"):
        answer = ask(model, text, response_format=schema(true={"type": "boolean"}))
        assert json.loads(answer.text) == {"true": ask(model, text).text == "Yes"}


def test_a_list_in_json_is_the_parts_of_the_answer(model: LanguageModel) -> None:
    text = "Sort 31, 15, 27 in ascending order."
    numbers = ask(model, text, response_format=schema(sorted={"type": "array", "items": {"type": "integer"}}))
    assert json.loads(numbers.text) == {"sorted": [int(part) for part in ask(model, text).text.split(",")]}
    assert len(json.loads(numbers.text)["sorted"]) == 3


def test_values_in_json_have_the_models_probabilities(model: LanguageModel) -> None:
    form = schema(larger={"enum": ["3", "88"]})
    answer = ask(model, "Which is larger, 3 or 88?", response_format=form, logprobs=True, top_logprobs=5)
    assert json.loads(answer.text) == {"larger": "88"}
    tokens = [token for token in answer.logprobs if token.token == "88"]
    assert len(tokens) == 1
    assert -0.7 < tokens[0].logprob < 0
    assert [alternative for alternative, _ in tokens[0].top] == ["88", "3"]
    structure = [token for token in answer.logprobs if token.token != "88"]
    assert all(token.logprob == 0 for token in structure)


def test_json_mode_takes_its_keys_from_the_messages(model: LanguageModel) -> None:
    mode = {"type": "json_object"}
    asked = ask(model, "Tell me a joke as JSON with 'setup' and 'punchline' keys.", response_format=mode)
    assert list(json.loads(asked.text)) == ["setup", "punchline"]
    assert list(json.loads(ask(model, f"{SUM} Use JSON.", response_format=mode).text)) == ["answer"]
    spelled = {"role": "system", "content": 'JSON by {"properties": {"n": {"type": "integer"}}, "required": ["n"]}'}
    answer = complete(model, ChatRequest([spelled, user(SUM)], response_format=mode)).choices[0]
    assert json.loads(answer.text) == {"n": int(ask(model, SUM).text)}


def test_optional_properties_are_written_when_they_are_mentioned(model: LanguageModel) -> None:
    form = {"type": "object", "properties": {"setup": {"type": "string"}, "punchline": {"type": ["string", "null"]}}}
    optional = {"type": "json_schema", "json_schema": {"name": "joke", "schema": {**form, "required": ["setup"]}}}
    strict = {"type": "json_schema", "json_schema": {"name": "joke", "schema": {**form, "required": [*form["properties"]]}}}
    with_it, without = "Tell a joke with a punchline.", "Tell a joke."
    assert json.loads(ask(model, with_it, response_format=optional).text)["punchline"]
    assert "punchline" not in json.loads(ask(model, without, response_format=optional).text)
    assert json.loads(ask(model, without, response_format=strict).text)["punchline"] is None


def test_json_is_cut_by_max_tokens(model: LanguageModel) -> None:
    answer = ask(model, SUM, response_format=schema(value={"type": "integer"}), max_tokens=3)
    assert answer.finish_reason == "length"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(answer.text)


def test_a_schema_without_solution_is_an_error(model: LanguageModel) -> None:
    with pytest.raises(ChatError, match="no number that can be written satisfies the schema") as caught:
        ask(model, SUM, response_format=schema(value={"type": "integer", "minimum": 5, "maximum": 4}))
    assert caught.value.param == "response_format"
