"""Exported embedders give the original's vectors, whatever is embedded with a text, and refuse what is not theirs."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from encoders import minilm, tiny_encoder
from frugal_core.cache.embedders import onnx_export
from frugal_core.cache.embedders.default import default_embedder
from frugal_core.cache.embedders.onnx import MODEL, SETTINGS, TOKENIZER, OnnxEmbedder
from frugal_core.cli import main
from frugal_core.errors import ConfigurationError, FrugalWarning

TEXTS = [
    "How do I reset my password?",
    "Hi",
    "The invoice of 12 March has not been paid. " * 12,
    "¿Dónde está?",
    "",
    "word " * 700,
]


@pytest.fixture(scope="module")
def model():
    folder = str(minilm())
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu")


@pytest.fixture(scope="module", params=["int8", "float32"])
def exported(request, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / request.param
    return onnx_export.export(model, folder, name="all-MiniLM-L6-v2", precision=request.param)


@pytest.fixture(scope="module")
def int8(model, tmp_path_factory):
    return onnx_export.export(model, tmp_path_factory.mktemp("exported") / "int8", name="all-MiniLM-L6-v2").folder


def cosines(model, embedder, texts):
    return (model.encode(texts, normalize_embeddings=True, show_progress_bar=False) * embedder.embed(texts)).sum(axis=1)


def small(folder: Path, pooling: str, *, normalise: bool = False, **more):
    """A tiny model of sentence-transformers with random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer

    body = Transformer(str(tiny_encoder(folder)), max_seq_length=24)
    modules = [body, Pooling(32, pooling_mode=pooling), *([Normalize()] if normalise else [])]
    return SentenceTransformer(modules=modules, device="cpu", **more)


def test_vectors_agree_with_the_originals(model, exported):
    found = cosines(model, OnnxEmbedder(exported.folder), TEXTS)
    assert found.min() > (0.9999 if exported.precision == "float32" else 0.97)
    assert exported.mean > (0.9999 if exported.precision == "float32" else 0.99)
    assert exported.numbers == 384
    assert exported.bytes == (exported.folder / MODEL).stat().st_size


def test_a_vector_does_not_depend_on_its_company(exported):
    embedder = OnnxEmbedder(exported.folder)
    together = embedder.embed(TEXTS)
    alone = np.array([embedder(text) for text in TEXTS])
    close = 1e-5 if exported.precision == "float32" else 0
    assert np.abs(together - alone).max() <= close
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


def test_many_threads_share_one(exported):
    embedder = OnnxEmbedder(exported.folder)
    texts = [f"question {place}" + " and more" * (place % 7) for place in range(48)]
    right = embedder.embed(texts)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda place: embedder.embed(texts[place : place + 4]), range(0, 48, 4)))
    assert np.concatenate(found) == pytest.approx(right, abs=1e-5)


def test_texts_are_cut_at_the_models_length(model, exported):
    embedder = OnnxEmbedder(exported.folder)
    assert (embedder("word " * 700) == np.array(embedder("word " * 1000))).all()
    assert np.abs(np.array(embedder("word " * 200)) - embedder("word " * 250)).max() > 0


def test_no_texts_are_no_vectors(int8):
    assert len(OnnxEmbedder(int8).embed([])) == 0


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalise", [True, False])
def test_pooling_is_the_models_own(tmp_path, pooling, normalise):
    original = small(tmp_path / "tiny", pooling, normalise=normalise)
    done = onnx_export.export(original, tmp_path / "out", name="tiny", precision="float32")
    assert cosines(original, OnnxEmbedder(done.folder), TEXTS).min() > 0.9999


def test_a_models_prompt_stands_before_every_text(tmp_path):
    original = small(tmp_path / "tiny", "mean", prompts={"query": "query: "}, default_prompt_name="query")
    done = onnx_export.export(original, tmp_path / "out", name="tiny", precision="float32")
    assert cosines(original, OnnxEmbedder(done.folder), TEXTS).min() > 0.9999


def test_fingerprints_tell_models_and_precisions_apart_and_are_stable(model, int8, tmp_path):
    again = onnx_export.export(model, tmp_path / "again", name="another name").folder
    whole = onnx_export.export(model, tmp_path / "whole", name="all-MiniLM-L6-v2", precision="float32").folder
    cut = shutil.copytree(int8, tmp_path / "cut")
    settings = json.loads((cut / SETTINGS).read_text())
    (cut / SETTINGS).write_text(json.dumps({**settings, "max_length": 64}))
    first = OnnxEmbedder(int8).fingerprint
    assert OnnxEmbedder(int8).fingerprint == first
    assert OnnxEmbedder(again).fingerprint.split(":")[-1] == first.split(":")[-1]
    assert len({first, OnnxEmbedder(whole).fingerprint, OnnxEmbedder(cut).fingerprint}) == 3
    assert str(tmp_path) not in (again / SETTINGS).read_text()


class TestExport:
    def test_what_agrees_too_little_is_not_written(self, model, tmp_path, monkeypatch):
        monkeypatch.setitem(onnx_export.LIMITS, "int8", 0.9999)
        with pytest.raises(ConfigurationError, match=r"agree with the original's by a cosine of 0\.99.*--precision float32"):
            onnx_export.export(model, tmp_path / "out", name="m")
        assert list(tmp_path.iterdir()) == []

    def test_a_former_export_is_replaced_and_a_folder_of_others_is_not(self, tmp_path):
        original = small(tmp_path / "tiny", "mean")
        out = tmp_path / "out"
        for _ in range(2):
            onnx_export.export(original, out, name="tiny", precision="float32")
        assert {path.name for path in out.iterdir()} == {MODEL, TOKENIZER, SETTINGS}
        assert {path.name for path in tmp_path.iterdir()} == {"tiny", "out"}
        with pytest.raises(ConfigurationError, match="no exported embedder"):
            onnx_export.export(original, tmp_path / "tiny", name="tiny", precision="float32")

    def test_a_model_that_is_trained_further_stays_so(self, tmp_path):
        original = small(tmp_path / "tiny", "mean").train()
        onnx_export.export(original, tmp_path / "out", name="tiny", precision="float32")
        assert original.training

    def test_other_precisions_are_refused(self, model, tmp_path):
        with pytest.raises(ConfigurationError, match="int8 or float32"):
            onnx_export.export(model, tmp_path, name="m", precision="int4")

    def test_a_model_without_a_fast_tokenizer_is_refused(self, tmp_path):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import StaticEmbedding
        from tokenizers import Tokenizer

        words = Tokenizer.from_file(str(minilm() / TOKENIZER))
        static = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu")
        with pytest.raises(ConfigurationError, match="only models with a transformer"):
            onnx_export.export(static, tmp_path / "out", name="static")


class TestCommand:
    def test_what_it_writes_is_the_default_from_then_on(self, model, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert main(["embedder", "export", str(minilm())]) == 0
        told = capsys.readouterr().out
        assert "int8" in told
        assert "agreement with the original (cosine): 0.99" in told
        embedder = default_embedder()
        assert embedder.fingerprint == OnnxEmbedder(tmp_path / "frugal" / "embedder").fingerprint
        assert cosines(model, embedder, TEXTS[:4]).min() > 0.97

    def test_a_folder_of_ones_own(self, tmp_path, capsys):
        out = tmp_path / "out"
        small(tmp_path / "tiny", "cls").save(str(tmp_path / "saved"))
        assert main(["embedder", "export", str(tmp_path / "saved"), "--output", str(out), "--precision", "float32"]) == 0
        assert OnnxEmbedder(out).precision == "float32"
        assert OnnxEmbedder(out).model == "saved"
        capsys.readouterr()

    def test_a_model_that_cannot_be_had(self, tmp_path, capsys):
        assert main(["embedder", "export", "nobody/nothing", "--output", str(tmp_path / "out")]) == 2
        assert "nobody/nothing cannot be loaded" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class TestDamaged:
    @pytest.fixture
    def folder(self, int8, tmp_path):
        return shutil.copytree(int8, tmp_path / "copy")

    @pytest.mark.parametrize("name", [MODEL, TOKENIZER, SETTINGS])
    @pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00\xff"])
    def test_files_that_are_gone_or_broken(self, folder, name, content):
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        with pytest.raises(ConfigurationError, match="Export it anew"):
            OnnxEmbedder(folder)

    @pytest.mark.parametrize("change", [{"format": 2}, {"max_length": "9"}, {"max_length": 0}, {"pad": None}])
    def test_settings_that_are_not_right(self, folder, change):
        settings = json.loads((folder / SETTINGS).read_text())
        (folder / SETTINGS).write_text(json.dumps({**settings, **change}))
        with pytest.raises(ConfigurationError, match="Export it anew"):
            OnnxEmbedder(folder)

    def test_threads_out_of_range(self, int8):
        with pytest.raises(ConfigurationError, match="1 or more"):
            OnnxEmbedder(int8, threads=0)

    def test_a_damaged_default_is_passed_over_with_a_warning(self, int8, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr("frugal_core.cache.embedders.default.MODEL", str(minilm()))
        (shutil.copytree(int8, tmp_path / "frugal" / "embedder") / MODEL).write_bytes(b"")
        with pytest.warns(FrugalWarning, match="passed over"):
            found = default_embedder()
        assert found.embed(["a"]).shape == (1, 384)
