"""What users give becomes an embedder: one call for all texts, none twice, and fingerprints that tell vectors apart."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from llama_index.core import MockEmbedding
from llama_index.core.base.embeddings.base import BaseEmbedding

from encoders import minilm
from frugal_core.cache.embedders.base import Embedder, as_embedder
from frugal_core.cache.embedders.default import default_embedder
from frugal_core.cache.embedders.fingerprints import fingerprint_of
from frugal_core.errors import ConfigurationError, FrugalWarning, ScorerError


def letters(text: str) -> list[float]:
    """Told apart by their first letter and their length."""
    return [1.0, float(ord(text[0]) % 7), float(len(text))]


class Counting(Embedder):
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.fingerprint = "counting"
        self.calls: list[list[str]] = []

    def embed(self, texts):
        self.calls.append(list(texts))
        rows = np.array([letters(text) for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class OfLangChain(Embeddings):
    """Natively asynchronous."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def embed_documents(self, texts):
        self.calls.append(("sync", len(texts)))
        return [letters(text) for text in texts]

    async def aembed_documents(self, texts):
        self.calls.append(("async", len(texts)))
        return [letters(text) for text in texts]

    def embed_query(self, text):
        raise AssertionError("one call for all texts")


class OfLlamaIndex(BaseEmbedding):
    """As most of LlamaIndex's embeddings: many at once, but not asynchronously."""

    calls: list[int] = []
    dimensions: int = 3

    def _get_query_embedding(self, query):
        raise AssertionError("texts, all at once")

    def _get_text_embedding(self, text):
        raise AssertionError("all at once")

    def _get_text_embeddings(self, texts):
        self.calls.append(len(texts))
        return [letters(text) for text in texts]

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)


class NativeLlamaIndex(OfLlamaIndex):
    """And many at once asynchronously as well."""

    async def _aget_text_embeddings(self, texts):
        self.calls.append(-len(texts))
        return [letters(text) for text in texts]


class Encoder:
    """With the face of a model of sentence-transformers."""

    def encode(self, texts):
        return np.array([letters(text) for text in texts])


class TestRemembering:
    def test_each_text_is_embedded_once_and_all_in_one_call(self):
        counting = Counting()
        embedder = as_embedder(counting)
        first = embedder.embed(["a", "bb", "a", "ccc"])
        second = embedder.embed(["ccc", "d", "a"])
        assert counting.calls == [["a", "bb", "ccc"], ["d"]]
        assert (first[0] == first[2]).all()
        assert (second[[0, 2]] == first[[3, 0]]).all()
        assert embedder("bb") == pytest.approx(first[1])
        assert len(counting.calls) == 2

    async def test_the_same_awaited(self):
        counting = Counting()
        embedder = as_embedder(counting)
        found = await embedder.aembed(["a", "a", "b"])
        assert (await embedder.aembed(["b"]) == found[2]).all()
        assert counting.calls == [["a", "b"]]

    def test_what_was_not_used_for_long_is_forgotten(self):
        from frugal_core.cache.embedders.remembering import Remembering

        counting = Counting()
        embedder = Remembering(counting, kept=2)
        embedder.embed(["a", "b"])
        embedder.embed(["a"])
        embedder.embed(["c"])
        assert embedder.known("a") is not None
        assert embedder.known("b") is None
        assert embedder.embed(["a", "b", "c", "d"]).shape == (4, 3)

    def test_what_is_changed_outside_is_not_changed_within(self):
        embedder = as_embedder(Counting())
        found = embedder.embed(["a", "b"])
        kept = found.copy()
        found[:] = 0
        assert (embedder.embed(["a", "b"]) == kept).all()
        with pytest.raises(ValueError, match="read-only"):
            embedder.known("a")[0] = 5.0

    def test_no_texts_are_no_call(self):
        counting = Counting()
        assert len(as_embedder(counting).embed([])) == 0
        assert counting.calls == []

    def test_many_threads_get_the_right_vectors(self):
        from frugal_core.cache.embedders.remembering import Remembering

        embedder = Remembering(Counting(), kept=20)
        texts = [chr(97 + place % 26) * (1 + place % 5) for place in range(200)]
        right = Counting().embed(texts)

        def ask(turn: int) -> bool:
            own = slice(turn % 190, turn % 190 + 10)
            return bool(np.allclose(embedder.embed(texts[own]), right[own]))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(400)))

    def test_a_remembering_one_is_taken_as_it_is(self):
        embedder = as_embedder(Counting())
        assert as_embedder(embedder) is embedder


class TestForeign:
    @pytest.mark.parametrize(
        "make", [OfLangChain, OfLlamaIndex, NativeLlamaIndex, Encoder, lambda: letters, lambda: lambda text: (len(text), 1.0)]
    )
    async def test_all_kinds_give_rows_of_unit_length(self, make):
        given = make()
        embedder = as_embedder(given)
        found = embedder.embed(["one", "three"])
        assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1])
        assert found.dtype == np.float32
        assert await as_embedder(given).aembed(["one", "three"]) == pytest.approx(found)

    async def test_langchains_are_asked_natively(self):
        given = OfLangChain()
        embedder = as_embedder(given)
        embedder.embed(["a", "b"])
        await embedder.aembed(["c", "d", "e"])
        assert given.calls == [("sync", 2), ("async", 3)]

    async def test_llamaindexs_are_asked_for_all_at_once_in_any_case(self):
        given, native = OfLlamaIndex(calls=[]), NativeLlamaIndex(calls=[])
        for one in (given, native):
            await as_embedder(one).aembed(["c", "d", "e"])
        assert (given.calls, native.calls) == ([3], [-3])

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda text: [float("nan"), 1.0],
            lambda text: [0.0, 0.0],
            lambda text: [],
            lambda text: 3.0,
            lambda text: "text",
            lambda text: [1.0] * len(text),
        ],
    )
    def test_what_is_no_vector_is_refused(self, wrong):
        with pytest.raises(ScorerError, match="<lambda>"):
            as_embedder(wrong).embed(["a", "bb"])

    @pytest.mark.parametrize("wrong", [3, "text", object(), OfLangChain, None])
    def test_what_embeds_nothing_is_refused(self, wrong):
        with pytest.raises(ConfigurationError, match="turns no text into a vector"):
            as_embedder(wrong)

    def test_an_async_function_is_refused(self):
        async def embed(text):
            return [1.0]

        with pytest.raises(ConfigurationError, match="async"):
            as_embedder(embed)

    def test_what_a_model_raises_is_seen(self):
        def broken(text):
            raise TimeoutError("no answer")

        with pytest.raises(TimeoutError, match="no answer"):
            as_embedder(broken).embed(["a"])


def scaled(factor):
    return lambda text: [factor * len(text), 1.0]


def helper(text):
    return [len(text), 2.0]


class Plain:
    def __init__(self, model, size=3):
        self.model = model
        self.size = size
        self.calls = 0

    def __call__(self, text):
        self.calls += 1
        return [1.0] * self.size


class TestFingerprints:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (lambda text: [1.0], lambda text: [2.0]),
            (lambda text: [len(text)], lambda text: [len(text), len(text)]),
            (lambda text: text.upper(), lambda text: text.lower()),
            (scaled(1), scaled(2)),
            (lambda text: helper(text), lambda text: letters(text)),
            (functools.partial(scaled, 1), functools.partial(scaled, 2)),
            ({"a": [1.0]}.__getitem__, {"a": [2.0]}.__getitem__),
            (Plain("x"), Plain("y")),
            (Plain("x"), Plain("x", 4)),
            (Plain("x").__call__, Plain("y").__call__),
            (DeterministicFakeEmbedding(size=3), DeterministicFakeEmbedding(size=4)),
            (MockEmbedding(embed_dim=3), MockEmbedding(embed_dim=4)),
            (OfLlamaIndex(model_name="x"), OfLlamaIndex(model_name="y")),
            (OfLlamaIndex(model_name="x"), NativeLlamaIndex(model_name="x")),
        ],
    )
    def test_others_have_others(self, one, other):
        assert fingerprint_of(one) != fingerprint_of(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (scaled(1), scaled(1)),
            (Plain("x"), Plain("x")),
            ({"a": [1.0]}.__getitem__, {"a": [1.0]}.__getitem__),
            (MockEmbedding(embed_dim=3), MockEmbedding(embed_dim=3, embed_batch_size=7)),
        ],
    )
    def test_the_same_have_the_same(self, one, other):
        assert fingerprint_of(one) == fingerprint_of(other)

    def test_what_an_object_counts_does_not_change_it(self):
        given = Plain("x")
        before = as_embedder(given).fingerprint
        as_embedder(given).embed(["a", "b"])
        assert given.calls == 2
        assert as_embedder(given).fingerprint == before

    def test_ones_own_is_taken(self):
        assert as_embedder(letters, fingerprint="mine").fingerprint == "mine"
        assert as_embedder(Counting()).fingerprint == "counting"

    def test_secrets_are_neither_in_it_nor_change_it(self):
        from langchain_openai import OpenAIEmbeddings

        def made(key="sk-one", model="text-embedding-3-small", url="https://api.example.com/v1", **more):
            return OpenAIEmbeddings(api_key=key, model=model, base_url=url, **more)

        plain = fingerprint_of(made())
        assert "sk-one" not in plain
        assert "text-embedding-3-small" in plain
        assert fingerprint_of(made(key="sk-two")) == plain
        assert fingerprint_of(made(url="https://user:pass@api.example.com/v1")) == plain
        assert fingerprint_of(made(max_retries=7, chunk_size=5, timeout=3)) == plain
        others = [made(model="text-embedding-3-large"), made(dimensions=256), made(url="https://elsewhere.example.com/v1")]
        assert len({plain, *map(fingerprint_of, others)}) == 4

    def test_weights_and_preparation_of_a_model_count(self, model):
        import torch

        plain = fingerprint_of(model)
        length, weight = model.max_seq_length, next(model.parameters())
        model.max_seq_length = 17
        shortened = fingerprint_of(model)
        model.max_seq_length = length
        assert fingerprint_of(model) == plain
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.mul_(1.01)
        trained = fingerprint_of(model)
        with torch.no_grad():
            weight.copy_(kept)
        assert len({plain, shortened, trained}) == 3
        assert fingerprint_of(model) == plain

    def test_they_are_the_same_in_every_process(self):
        program = """
import sys
sys.path[:0] = sys.argv[1:]
from functools import partial
from langchain_core.embeddings import DeterministicFakeEmbedding
from frugal_core.cache.embedders.fingerprints import fingerprint_of
words = {"one", "two", "three", "four"}
def embed(text): return [len(text), text in words, text in {"a", "b", "c"}]
for given in (embed, lambda text: embed(text), partial(embed), DeterministicFakeEmbedding(size=3)):
    sys.stdout.write(fingerprint_of(given) + "\\n")
"""
        told = {
            subprocess.run(
                [sys.executable, "-c", program, *sys.path],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": seed},
            ).stdout
            for seed in ("1", "2", "3")
        }
        assert len(told) == 1
        assert len(set(told.pop().split())) == 4


@pytest.fixture(scope="module")
def model():
    folder = str(minilm())
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu")


def test_a_sentence_transformer_from_many_threads(model, capsys):
    embedder = as_embedder(model)
    texts = [f"Question number {place}" + " more" * (place % 9) for place in range(24)]
    right = model.encode(texts, show_progress_bar=False)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda place: embedder.embed(texts[place : place + 3]), range(0, 24, 3)))
    assert (np.concatenate(found) * right).sum(axis=1) == pytest.approx(np.ones(24), abs=1e-4)
    assert capsys.readouterr().err == ""


def test_router_and_cache_embed_a_query_once():
    """One embedder serves predictor, scorer and cache: it remembers, and is a function of a text."""
    from frugal_core.cache import SemanticCache, text_question
    from frugal_core.learning.semantic import SemanticAgreement
    from frugal_core.policies import Router
    from frugal_core.predictors import PerformancePredictor
    from frugal_core.types import Message, Query, Tier

    counting = Counting()
    cache = SemanticCache(embed=counting, decider=0.9)
    tiers = (Tier("small"), Tier("large"))
    words = ["alpha", "beta", "gamma", "delta", "omega"]
    queries = [Query((Message("user", f"{words[place % 5]} {place}"),), tiers) for place in range(120)]
    right = np.array([[place % 2, 1.0] for place in range(120)])
    predictor = PerformancePredictor.fit(queries, right, ("small", "large"), embed=cache.embedder)
    router = Router(predictor, {"small": 1.0, "large": 5.0}, 0.5)
    counting.calls.clear()
    new = Query((Message("user", "a question nobody has asked"),), tiers)
    next(router.decide(new))
    lookup = cache.lookup(text_question(new.text))
    lookup.abandon()
    assert SemanticAgreement(cache.embedder)("q", new.text, "a question somebody has asked") in (0.0, 1.0)
    asked = [text for call in counting.calls for text in call]
    assert asked.count(new.text) == 1


class TestDefault:
    def test_without_any_there_is_one_warning_that_says_what_to_do(self, tmp_path, monkeypatch):
        minilm()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr("frugal_core.cache.embedders.default.MODEL", str(tmp_path / "not here"))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert default_embedder() is None
        ours = [each for each in told if issubclass(each.category, FrugalWarning)]
        assert len(ours) == 1
        assert "pip install 'langchain-frugal[embeddings]'" in str(ours[0].message)

    def test_a_model_on_this_machine_is_opened(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr("frugal_core.cache.embedders.default.MODEL", str(minilm()))
        embedder = default_embedder()
        one, other, third = embedder.embed(["How do I reset my password?", "I forgot my password.", "Cats sleep a lot."])
        assert one @ other > 0.5 > one @ third

    def test_a_hub_that_never_answers_is_asked_once_and_given_up(self, tmp_path):
        """In a process of its own, where the hub's address is one that takes connections and keeps silent."""
        program = """
import socket, sys, threading, os
sys.path[:0] = sys.argv[2:]
hub = socket.create_server(("127.0.0.1", 0))
os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}", "HF_HOME": sys.argv[1], "HF_HUB_OFFLINE": "0"}
os.environ |= {"XDG_CACHE_HOME": sys.argv[1]}
asked = []
def listen():
    while True:
        asked.append(hub.accept())
threading.Thread(target=listen, daemon=True).start()
import warnings
from frugal_core.cache.embedders import default
default._PATIENCE_S = 0.2
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    found = default.default_embedder()
ours = [each for each in told if each.category.__name__ == "FrugalWarning"]
asked = [each.recv(300).split()[1].decode() for each, _ in asked]
asked = [path for path in asked if "MiniLM" in path]  # the hub's library has questions of its own
sys.stdout.write(f"{found} {len(ours)} {len(asked)}")
"""
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), *sys.path],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ},
        )
        assert done.stdout == "None 1 1"


def test_nothing_heavy_is_loaded_to_make_an_embedder_of_a_function():
    code = """
import sys
sys.path[:0] = sys.argv[1:]
from frugal_core.cache.embedders import as_embedder
as_embedder(lambda text: [1.0])
sys.stdout.write(" ".join({name.split(".")[0] for name in sys.modules} & {"torch", "onnxruntime", "sentence_transformers"}))
"""
    done = subprocess.run([sys.executable, "-c", code, *sys.path], capture_output=True, text=True, check=True)
    assert done.stdout == ""


async def test_a_slow_embedder_does_not_block_the_loop():
    from threading import Event

    go = Event()

    def slow(text):
        assert go.wait(10)
        return [1.0]

    task = asyncio.create_task(as_embedder(slow).aembed(["a"]))
    await asyncio.sleep(0)
    go.set()
    assert (await task).tolist() == [[1.0]]
