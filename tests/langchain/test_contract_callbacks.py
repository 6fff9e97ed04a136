"""The wrapper is a chain run and its tiers are the LLM runs: callbacks, tracers and token counters see each call once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.runnables import RunnableLambda

from langchain_frugal import ChatFrugal
from lc import HOWS, USAGE, Fake, Recorder, accepting, ask, collect, decision, escalating, frugal, heard_by, large, small

each_way = pytest.mark.parametrize("how", HOWS)
DEAD = ConnectionError("the line is dead")


# --- tokens are counted once ---


@each_way
async def test_an_accepted_draft_is_counted_once(how: str) -> None:
    llm, _, _ = accepting()
    with get_usage_metadata_callback() as counter:
        message = await ask(llm, how)
    assert counter.usage_metadata == {"small": USAGE}
    assert message.usage_metadata == USAGE


@each_way
async def test_an_escalation_counts_both_calls_once(how: str) -> None:
    llm, _, _ = escalating()
    with get_usage_metadata_callback() as counter:
        message = await ask(llm, how)
    assert counter.usage_metadata == {"small": USAGE, "large": USAGE}
    assert message.usage_metadata == USAGE, "the winner's alone: others read it as the size of the context"
    assert message.response_metadata["model_name"] == "large"


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_a_batch_is_counted_exactly(how: str) -> None:
    llm = frugal(small(lambda messages: messages[0].text), large(), scorer=lambda _, answer: float(answer.text != "hard"))
    inputs: list[Any] = ["easy", "hard", "easy", "hard", "easy"]
    with get_usage_metadata_callback() as counter:
        messages = llm.batch(inputs) if how == "batch" else await llm.abatch(inputs)
    assert [message.text for message in messages] == ["easy", "the large answer", "easy", "the large answer", "easy"]
    assert {name: usage["total_tokens"] for name, usage in counter.usage_metadata.items()} == {"small": 30, "large": 12}


@each_way
async def test_a_counter_in_the_config_or_in_the_constructor(how: str) -> None:
    in_config, in_constructor = UsageMetadataCallbackHandler(), UsageMetadataCallbackHandler()
    llm, _, _ = escalating(callbacks=[in_constructor])
    await ask(llm, how, config={"callbacks": [in_config]})
    assert in_config.usage_metadata == in_constructor.usage_metadata == {"small": USAGE, "large": USAGE}


@each_way
async def test_a_handler_given_twice_hears_once(how: str) -> None:
    recorder = Recorder()  # asserts by itself that no run starts twice
    llm, _, _ = escalating(callbacks=[recorder])
    await ask(llm, how, config=heard_by(recorder))
    assert recorder.models == ["small", "large"]


# --- runs are nested ---


@each_way
async def test_the_wrapper_is_a_chain_and_its_tiers_are_its_children(how: str) -> None:
    llm, _, _ = escalating()
    recorder = Recorder()
    message = await ask(llm, how, config=heard_by(recorder))
    (wrapper,) = recorder.of("chain")
    first, last = recorder.of("chat")
    assert (wrapper.name, wrapper.parent) == ("ChatFrugal", None)
    assert first.parent == last.parent == wrapper.id
    assert recorder.models == ["small", "large"]
    assert [run.ended for run in recorder.runs.values()] == [1, 1, 1]
    assert wrapper.output.text == message.text
    assert wrapper.output.response_metadata["frugal"] == decision(message)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_nested_in_a_sequence(how: str) -> None:
    llm, _, _ = escalating()
    recorder = Recorder()
    chain = RunnableLambda(lambda text: f"Please: {text}") | llm
    await ask(chain, how, config=heard_by(recorder))
    runs = {run.name: run for run in recorder.of("chain")}
    assert runs["ChatFrugal"].parent == runs["RunnableSequence"].id
    assert {run.parent for run in recorder.of("chat")} == {runs["ChatFrugal"].id}
    assert len(recorder.of("chat")) == 2


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_nested_without_a_config_being_passed_on(how: str) -> None:
    llm, _, _ = escalating()
    recorder = Recorder()

    async def later(text: str) -> Any:
        return await llm.ainvoke(text)

    node = RunnableLambda(lambda text: llm.invoke(text), afunc=later, name="node")
    await ask(node, how, config=heard_by(recorder, tags=["outer"]))
    runs = {run.name: run for run in recorder.of("chain")}
    assert runs["ChatFrugal"].parent == runs["node"].id
    assert [run.tags[0] for run in recorder.of("chat")] == ["outer", "outer"]


@each_way
async def test_a_failing_tier_ends_its_run_and_not_the_wrappers(how: str) -> None:
    recorder = Recorder()
    await ask(frugal(small(DEAD), large()), how, config=heard_by(recorder))
    first, last = recorder.of("chat")
    (wrapper,) = recorder.of("chain")
    assert (first.error, last.error, wrapper.error) == (DEAD, None, None)
    assert [run.ended for run in recorder.runs.values()] == [1, 1, 1]


@each_way
async def test_when_all_tiers_fail_the_wrappers_run_fails_with_the_last_error(how: str) -> None:
    recorder = Recorder()
    error = ValueError("no such luck")
    with pytest.raises(ValueError, match="no such luck"):
        await ask(frugal(small(DEAD), large(error)), how, config=heard_by(recorder))
    (wrapper,) = recorder.of("chain")
    assert wrapper.error is error
    assert [run.error for run in recorder.of("chat")] == [DEAD, error]
    assert all(run.ended == 1 for run in recorder.runs.values())


# --- what stands in the config ---


@each_way
async def test_tags_and_metadata_reach_every_run(how: str) -> None:
    recorder = Recorder()
    llm, _, _ = escalating(tags=["own"], metadata={"team": "a"})
    await ask(llm, how, config=heard_by(recorder, tags=["given"], metadata={"user": "b"}))
    for run in recorder.runs.values():
        assert {"own", "given"} <= set(run.tags)
        assert (run.metadata["team"], run.metadata["user"]) == ("a", "b")


@each_way
async def test_tags_and_metadata_reach_a_model_that_alone_is_listened_to(how: str) -> None:
    recorder = Recorder()
    llm = frugal(small(callbacks=[recorder]), large(), tags=["own"], metadata={"team": "a"})
    await ask(llm, how, config={"tags": ["given"], "metadata": {"user": "b"}, "run_name": "mine", "run_id": uuid4()})
    (run,) = recorder.runs.values()
    assert {"own", "given"} <= set(run.tags)
    assert (run.metadata["team"], run.metadata["user"]) == ("a", "b")
    assert run.name != "mine"


@each_way
async def test_run_id_and_name_are_the_wrappers_alone(how: str) -> None:
    recorder, run_id = Recorder(), uuid4()
    llm, _, _ = escalating()
    await ask(llm, how, config=heard_by(recorder, run_id=run_id, run_name="mine"))
    (wrapper,) = recorder.of("chain")
    assert (wrapper.id, wrapper.name) == (run_id, "mine")
    assert [run.name == "mine" or run.id == run_id for run in recorder.of("chat")] == [False, False]


@each_way
async def test_the_configured_values_reach_the_tiers(how: str) -> None:
    seen: list[Any] = []
    recorder = Recorder()

    class Looking(Fake):
        def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
            seen.append(config["configurable"])
            return super().invoke(input, config, **kwargs)

        async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
            seen.append(config["configurable"])
            return await super().ainvoke(input, config, **kwargs)

    await ask(frugal(Looking(), large()), how, config=heard_by(recorder, configurable={"thread": "t"}))
    assert seen == [{"thread": "t"}]


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_each_input_of_a_batch_has_its_own_config(how: str) -> None:
    recorders = [Recorder(), Recorder()]
    llm = frugal(small(sure=0.1), large())
    configs: list[Any] = [heard_by(recorder, tags=[f"n{number}"]) for number, recorder in enumerate(recorders)]
    inputs: list[Any] = ["a", "b"]
    _ = llm.batch(inputs, configs) if how == "batch" else await llm.abatch(inputs, configs)
    for number, recorder in enumerate(recorders):
        assert recorder.models == ["small", "large"]
        assert len(recorder.of("chain")) == 1
        assert all(run.tags[:1] == [f"n{number}"] for run in recorder.runs.values())


def test_a_name_given_to_the_model_names_its_runs() -> None:
    recorder = Recorder()
    llm, _, _ = accepting(name="support")
    llm.invoke("hi", heard_by(recorder))
    assert [run.name for run in recorder.of("chain")] == ["support"]


async def test_copies_with_other_callbacks_and_tags() -> None:
    one, other = Recorder(), Recorder()
    llm, _, _ = accepting(callbacks=[one])
    copy = llm.model_copy(update={"callbacks": [other], "tags": ["copied"]})
    assert isinstance(copy, ChatFrugal)
    await copy.ainvoke("hi")
    copy.invoke("hi")
    await collect(copy.astream("hi"))
    assert not one.runs
    assert [run.tags for run in other.of("chat")] == [["copied"]] * 3
    llm.callbacks = [other]  # assigning is read as well
    llm.invoke("hi")
    assert not one.runs
    assert len(other.of("chat")) == 4


def test_generate_takes_the_older_arguments() -> None:
    recorder, run_id = Recorder(), uuid4()
    llm, _, _ = accepting()
    result = llm.generate([["hi"], ["ho"]], callbacks=[recorder], tags=["t"], metadata={"m": 1}, run_name="n", run_id=run_id)  # type: ignore[list-item]
    assert [generation[0].text for generation in result.generations] == ["the small answer"] * 2
    first, second = recorder.of("chain")
    assert (first.id, first.name, first.tags[0], first.metadata["m"]) == (run_id, "n", "t", 1)
    assert second.name == "n"


def test_streamed_tokens_are_heard_of_the_served_model_only() -> None:
    recorder = Recorder()
    llm, _, _ = escalating()
    list(llm.stream("hi", heard_by(recorder)))
    first, last = recorder.of("chat")
    assert first.tokens == []
    assert "".join(last.tokens) == "the large answer"
