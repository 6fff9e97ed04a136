"""Token counts: exact where a vocabulary is at hand, an estimate where not, and never a wait for the network."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from frugal_core import tokens
from frugal_core.tokens import count_messages, count_tokens, estimate_usage, fits
from frugal_core.types import Answer, Message, Query, Tier, ToolCall


def bytewise(name: str = "bytewise") -> tiktoken.Encoding:
    """A real tokenizer of single bytes, the word "hello" and a special token."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    for rank, piece in enumerate((b"he", b"ll", b"hell", b"hello"), start=256):
        ranks[piece] = rank
    return tiktoken.Encoding(name, pat_str=r"\w+|\W+", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 300})


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    tokens._load_once.cache_clear()
    yield
    tokens._load_once.cache_clear()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network and no vocabulary on disk."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: refuse())


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Every vocabulary is the bytewise one and "on disk"; the list holds which were loaded."""
    loaded: list[str] = []

    def get_encoding(name: str) -> tiktoken.Encoding:
        loaded.append(name)
        return bytewise(name)

    monkeypatch.setattr(tokens, "_folder_of", lambda name: str(tmp_path))
    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)
    return loaded


# --- count_tokens -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("offline")
def test_without_a_vocabulary_four_bytes_are_a_token() -> None:
    assert count_tokens("") == 0
    assert count_tokens("a") == 1
    assert count_tokens("abcd") == 1
    assert count_tokens("abcde") == 2
    assert count_tokens("ééé") == 2
    assert count_tokens("lone \ud800 surrogate") == 5


def test_with_a_vocabulary_the_count_is_exact(exact: list[str]) -> None:
    assert count_tokens("hello") == 1
    assert count_tokens("hello hello") == 3
    assert exact == ["o200k_base"]


@pytest.mark.usefixtures("exact")
def test_a_special_token_written_out_is_plain_text() -> None:
    assert count_tokens("<|endoftext|>") == len("<|endoftext|>")


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        (None, "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("openai:gpt-4-0613", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("gpt-oss-20b", "o200k_base"),
        ("claude-sonnet-4-5", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "o200k_base"),
        ("nobody-knows-this", "o200k_base"),
    ],
)
def test_each_model_has_its_vocabulary(exact: list[str], model: str | None, vocabulary: str) -> None:
    count_tokens("x", model)
    assert exact == [vocabulary]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("text", ["a" * 1_000_000, " " * 1_000_000, "字" * 300_000, "a" * 1001])
def test_a_monotonous_text_is_counted_in_slices(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    whole = tiktoken.Encoding.encode_ordinary

    def encode_ordinary(self: tiktoken.Encoding, part: str) -> list[int]:
        lengths.append(len(part))
        return whole(self, part)

    monkeypatch.setattr(tiktoken.Encoding, "encode_ordinary", encode_ordinary)
    assert count_tokens(text) == pytest.approx(len(text.encode()), rel=0.01)
    assert max(lengths) <= 200


@pytest.mark.usefixtures("exact")
def test_of_a_very_long_text_the_rest_is_extrapolated() -> None:
    assert count_tokens("hello " * 200_000) == pytest.approx(400_000, rel=0.001)


@given(st.text(max_size=300))
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    assert len(bytewise().encode_ordinary(text)) <= tokens._bytes(text)


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_download_is_never_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrived = threading.Event()

    def hang(name: str) -> tiktoken.Encoding:
        assert arrived.wait(30)
        return bytewise(name)

    monkeypatch.setattr(tokens, "_folder_of", lambda name: None)
    monkeypatch.setattr(tiktoken, "get_encoding", hang)
    start = time.perf_counter()
    assert count_tokens("hello hello!") == 3  # 12 bytes: the estimate
    assert time.perf_counter() - start < tokens._DISK_PATIENCE_S / 2
    arrived.set()
    assert tokens._vocabulary("o200k_base")._loaded.wait(30)
    assert count_tokens("hello hello!") == 4  # "hello", " ", "hello", "!"


def test_a_failed_download_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fail(name: str) -> tiktoken.Encoding:
        tried.append(name)
        raise ConnectionError("black hole")

    monkeypatch.setattr(tokens, "_folder_of", lambda name: None)
    monkeypatch.setattr(tiktoken, "get_encoding", fail)
    for _ in range(3):
        assert count_tokens("abcdefgh") == 2
        assert tokens._vocabulary("o200k_base")._loaded.wait(30)
    assert tried == ["o200k_base"]


def test_many_threads_load_a_vocabulary_once(exact: list[str]) -> None:
    threads = [threading.Thread(target=count_tokens, args=("hello",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert exact == ["o200k_base"]


def test_a_vocabulary_on_disk_is_read_from_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    static = tmp_path / "llama_index" / "core" / "_static" / "tiktoken_cache"
    static.mkdir(parents=True)
    (static / "fb374d419588a4632f3f557e76b4b70aebbca790").touch()  # tiktoken's name for o200k_base
    seen: list[str | None] = []

    def get_encoding(name: str) -> tiktoken.Encoding:
        seen.append(os.environ.get("TIKTOKEN_CACHE_DIR"))
        return bytewise(name)

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)
    found = importlib.util.find_spec("llama_index")
    assert found is not None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: importlib.machinery.PathFinder.find_spec(name))
    if str(tmp_path / "llama_index") not in list(found.submodule_search_locations or ()):
        pytest.skip("an installed llama_index comes first")
    assert count_tokens("hello") == 1
    assert seen == [str(static)]
    assert os.environ["TIKTOKEN_CACHE_DIR"] == str(tmp_path / "empty")


def test_the_users_own_cache_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").touch()  # tiktoken's name for cl100k_base
    assert tokens._folder_of("cl100k_base") == str(tmp_path)


def test_known_counts_of_the_real_vocabulary() -> None:
    if tokens._folder_of("o200k_base") is None:
        pytest.skip("o200k_base is not on this machine")
    assert count_tokens("Hello, world!") == 4
    assert count_tokens("<|endoftext|>", "gpt-4o") == 7
    assert count_tokens("a" * 100_000) < 30_000


# --- conversations ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("exact")
def test_a_conversation_counts_by_the_published_formula() -> None:
    assert count_messages([]) == 3
    assert count_messages([Message("user", "hello")]) == 3 + 4 + 1
    assert count_messages([Message("user", "hello"), Message("assistant", "hello hello")]) == 3 + 4 + 1 + 4 + 3
    assert count_messages([Message("user", "hello")], system="hello") == 3 + 4 + 1 + 4 + 1


@pytest.mark.usefixtures("exact")
def test_tools_and_tool_calls_count() -> None:
    call = Message("assistant", "", (ToolCall("hello", {"x": 1}),))
    assert count_messages([call]) == 3 + 4 + len('{"x":1}') + 1
    assert count_messages([], tools=[{"name": "n"}]) == 3 + len('{"name":"n"}')
    assert count_messages([], tools=[{"name": object()}]) > 3  # what JSON cannot say is counted as its repr


TIER = Tier("small")


def query(text: str = "hello", **more: Any) -> Query:
    return Query((Message("user", text),), (TIER,), **more)


@pytest.mark.usefixtures("exact")
def test_estimated_usage_says_so() -> None:
    usage = estimate_usage(query(), Answer("hello hello"))
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (8, 3, 0)
    assert usage.estimated


@pytest.mark.usefixtures("exact")
def test_estimated_usage_counts_everything_that_is_billed() -> None:
    assert estimate_usage(query(prompt_tokens=77), Answer("")).input_tokens == 77
    assert estimate_usage(query(response_format={"a": 1}), Answer("")).input_tokens == 8 + len('{"a":1}')
    assert estimate_usage(query(), Answer("", (ToolCall("hello", {}),))).output_tokens == 1 + len("{}")
    samples = (Answer("hello"), Answer("hello hello"))
    assert estimate_usage(query(), Answer("hello", samples=samples)).output_tokens == 4


# --- fits -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("exact")
def test_fits_is_exact_at_the_limit() -> None:
    asked = query("hello " * 10)
    needed = count_messages(asked.messages)
    assert fits(asked, Tier("t", context_window=needed))
    assert not fits(asked, Tier("t", context_window=needed - 1))
    assert fits(query(prompt_tokens=10), Tier("t", context_window=10))
    assert not fits(query(prompt_tokens=11), Tier("t", context_window=10))


@pytest.mark.usefixtures("exact")
def test_fits_counts_system_tools_and_format() -> None:
    tier = Tier("t", context_window=20)
    assert fits(query(), tier)
    for more in ({"system": "x" * 20}, {"tools": [{"name": "x" * 20}]}, {"response_format": {"name": "x" * 20}}):
        assert not fits(query(**more), tier)


def test_what_surely_fits_is_not_tokenised(exact: list[str]) -> None:
    assert fits(query("hello " * 100), Tier("t", context_window=1000))
    assert fits(query("x" * 10_000), Tier("t", context_window=None))
    assert exact == []


@given(st.text(max_size=200), st.integers(0, 300))
def test_fits_agrees_with_counting(text: str, window: int) -> None:
    tokens._load_once.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_folder_of", lambda name: "")
        patch.setattr(tiktoken, "get_encoding", lambda name: bytewise(name))
        asked = query(text)
        assert fits(asked, Tier("t", context_window=window)) == (count_messages(asked.messages) <= window)
