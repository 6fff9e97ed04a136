"""Exports models of sentence-transformers to ONNX, and compares what comes out with the original."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from frugal_core.cache.embedders.onnx import FORMAT, MODEL, SETTINGS, TOKENIZER, OnnxEmbedder
from frugal_core.errors import ConfigurationError

Precision = Literal["int8", "float32"]

LIMITS = {"int8": 0.98, "float32": 0.9999}
"""Least mean cosine between an exported model's vectors and the original's; one text's may be three times as far from 1."""

_LONG = "The order was placed on the third of May, paid at once, and has not arrived, although two letters were sent. " * 40
SENTENCES = (
    "Hello",
    "How do I reset my password?",
    "How can I change the password of my account?",
    "What is the capital of France?",
    "Which city is the seat of the French government?",
    "The invoice of 12 March 2024 over 1,250.50 EUR has not been paid.",
    "Is it safe to take ibuprofen and paracetamol together?",
    "Enable two-factor authentication for all users, then disable the old login.",
    "Translate the following paragraph into Spanish, and keep the names as they are.",
    "Why does my program print 0.30000000000000004 when I add 0.1 and 0.2?",
    "def add(one, other):\n    return one + other",
    "SELECT name FROM users WHERE age > 30 ORDER BY name;",
    "¿Dónde está la estación de tren más cercana?",
    "Wie hoch ist der Eiffelturm?",
    "A short note. " * 20,
    _LONG,
)
"""On which an exported model is compared with the original: short and long ones, of several kinds."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: Where.
        model: Name of the model.
        precision: Of its weights.
        numbers: Length of its vectors.
        bytes: Size of the model's file.
        mean: Mean cosine between its vectors and the original's.
        least: The least one.
    """

    folder: Path
    model: str
    precision: Precision
    numbers: int
    bytes: int
    mean: float
    least: float


def default_folder() -> Path:
    """Where models are exported to, and looked for, by default: `frugal/embedder` among the user's caches.

    That is `XDG_CACHE_HOME` where it is set; else `~/.cache`, on macOS `~/Library/Caches`, on Windows `%LOCALAPPDATA%`.
    """
    given = os.environ.get("XDG_CACHE_HOME")
    if given and Path(given).is_absolute():
        base = Path(given)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "frugal" / "embedder"


def export(model: Any, folder: str | Path, *, name: str, precision: Precision = "int8") -> Exported:
    """Write a model so that `OnnxEmbedder` can open it.

    All of the model's modules go into the file: transformer, pooling as it is configured, dense layers, normalisation. The
    folder is written only if the exported model's vectors agree with the original's.

    Args:
        model: A `SentenceTransformer` with a transformer and a fast tokenizer.
        folder: Where to; an exported model that is there is replaced.
        name: Of the model, for people.
        precision: `"int8"` takes a quarter of the bytes and is several times as fast; the vectors differ slightly.

    Raises:
        ConfigurationError: Something that is needed is not installed, the model is of a kind that cannot be exported, the
            folder cannot be written, or the vectors agree too little.
    """
    if precision not in LIMITS:
        raise ConfigurationError(f"precision={precision!r} must be int8 or float32.")
    _check_installed()
    settings = _settings_of(model, name, precision)
    goal = Path(folder)
    if goal.is_dir() and any(goal.iterdir()) and not (goal / SETTINGS).is_file():
        raise ConfigurationError(f"{goal} holds something that is no exported embedder. Name an empty folder, or a new one.")
    was_training = model.training
    model.eval()
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=goal.parent, prefix=".embedder-") as made:
            place = Path(made) / "new"
            place.mkdir()
            _write(model, place, settings)
            exported = _compared(model, place, goal, settings)
            _replace(goal, place, Path(made) / "old")
    except OSError as error:
        raise ConfigurationError(f"{goal} cannot be written ({error}). Name another folder.") from error
    finally:
        model.train(was_training)
    return exported


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"Exporting an embedder needs onnx and onnxruntime ({error}): pip install 'langchain-frugal[embeddings,onnx]' onnx."
        ) from error


def _settings_of(model: Any, name: str, precision: Precision) -> dict[str, Any]:
    """What `OnnxEmbedder` must know besides the model itself."""
    tokenizer: Any = getattr(model, "tokenizer", None)
    first = model[0]
    if getattr(tokenizer, "backend_tokenizer", None) is None or not hasattr(first, "auto_model"):
        raise ConfigurationError(f"{name} cannot be exported: only models with a transformer and a fast tokenizer can.")
    if getattr(first, "do_lower_case", False):
        raise ConfigurationError(f"{name} cannot be exported: it lowers the case of texts outside its tokenizer.")
    prefix = (model.prompts or {}).get(model.default_prompt_name or "", "")
    if prefix and not all(getattr(module, "include_prompt", True) for module in model):
        raise ConfigurationError(f"{name} cannot be exported: it leaves its prompt out of the mean.")
    pad = tokenizer.pad_token_id
    most = model.max_seq_length or tokenizer.model_max_length
    return {
        "format": FORMAT,
        "model": name,
        "precision": precision,
        "prefix": prefix,
        "max_length": int(min(most, 1 << 20)),
        "pad": 0 if pad is None else int(pad),
    }


def _write(model: Any, folder: Path, settings: dict[str, Any]) -> None:
    whole = folder / "whole.onnx"
    _trace(model, whole)
    if settings["precision"] == "int8":
        _quantise(whole, folder / MODEL)
        whole.unlink()
    else:
        whole.rename(folder / MODEL)
    model.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _trace(model: Any, path: Path) -> None:
    """The model from tokens to vectors, for batches of any size and length."""
    import torch

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]

    texts = model.tokenizer(["Which of these two is longer?", "This"], padding=True, return_tensors="pt")
    given = (texts["input_ids"].to(model.device), texts["attention_mask"].to(model.device))
    axes = {0: "texts", 1: "tokens"}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a trace that fits these texts only; what comes out is compared on others
        torch.onnx.export(
            Whole(),
            given,
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["vectors"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "vectors": {0: "texts"}},
            opset_version=17,
            dynamo=False,  # the other way needs another package
        )


def _quantise(whole: Path, path: Path) -> None:
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends a preparation that is not needed here
    try:
        quantize_dynamic(str(whole), str(path), weight_type=QuantType.QInt8, per_channel=True)
    finally:
        root.setLevel(level)


def _compared(model: Any, place: Path, goal: Path, settings: dict[str, Any]) -> Exported:
    """What was exported, if its vectors agree with the original's."""
    mean, least, numbers = agreement(model, OnnxEmbedder(place), SENTENCES)
    name, precision = settings["model"], settings["precision"]
    limit = LIMITS[precision]
    if not (mean >= limit and least >= 1 - 3 * (1 - limit)):
        fix = "Try --precision float32." if precision == "int8" else "It can only be used by sentence-transformers itself."
        raise ConfigurationError(
            f"{name} was not exported: its vectors in {precision} agree with the original's by a cosine of {mean:.4f} on "
            f"average and {least:.4f} at least, and {limit} on average is wanted. {fix}"
        )
    return Exported(goal, name, precision, numbers, (place / MODEL).stat().st_size, mean, least)


def agreement(model: Any, embedder: OnnxEmbedder, texts: Sequence[str]) -> tuple[float, float, int]:
    """Mean and least cosine between the vectors of an exported model and the original's, and the length of the vectors."""
    from frugal_core.cache.embedders.base import unit_rows

    original = unit_rows(model.encode(list(texts), show_progress_bar=False), len(texts), "of the original")
    together = embedder.embed(texts)
    alone = unit_rows([embedder(text) for text in texts], len(texts), "exported")
    if together.shape != original.shape:
        return -1.0, -1.0, together.shape[1]
    cosines = [float(value) for found in (together, alone) for value in (found * original).sum(axis=1)]
    return sum(cosines) / len(cosines), min(cosines), original.shape[1]


def _replace(goal: Path, new: Path, old: Path) -> None:
    if goal.exists():
        goal.rename(old)
    new.rename(goal)
    shutil.rmtree(old, ignore_errors=True)
