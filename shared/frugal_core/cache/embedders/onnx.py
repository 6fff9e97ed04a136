"""An embedder that needs neither torch nor transformers: a model exported to ONNX, run by onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugal_core.cache.embedders.base import Embedder, unit_rows
from frugal_core.errors import ConfigurationError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

MODEL, TOKENIZER, SETTINGS = "model.onnx", "tokenizer.json", "frugal_embedder.json"
"""Files of an exported model."""

FORMAT = 1


class OnnxEmbedder(Embedder):
    """A model of sentence-transformers as `frugal embedder export` wrote it, on the processor. Thread-safe.

    A text's vector does not depend on the texts that are embedded with it: a model of int8, whose numbers are scaled by what
    it is given at once, is given one text at a time; a model of float32 gets batches of texts of about the same length.

    Args:
        folder: Where it was exported to.
        threads: Threads that work on one text or batch. More than 1 are slower on a busy machine.

    Attributes:
        model: Name of the model it was exported from.
        precision: `"int8"` or `"float32"`.

    Raises:
        ConfigurationError: The extra `onnx` is not installed, or the folder holds no exported model.
    """

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        try:
            from onnxruntime import InferenceSession, SessionOptions
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ConfigurationError(
                f"An exported embedder needs onnxruntime and tokenizers ({error}): pip install 'langchain-frugal[onnx]'."
            ) from error
        if type(threads) is not int or threads < 1:
            raise ConfigurationError(f"threads={threads!r} must be a whole number, 1 or more.")
        self.folder = Path(folder)
        settings = _settings(self.folder)
        self.model = str(settings["model"])
        self.precision = str(settings["precision"])
        self._prefix = str(settings["prefix"])
        self._batch = 1 if self.precision == "int8" else 32
        options = SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = InferenceSession(str(self.folder / MODEL), options, providers=["CPUExecutionProvider"])
            self._tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        except Exception as error:  # onnxruntime and tokenizers raise classes of their own
            raise ConfigurationError(f"The embedder in {self.folder} cannot be opened ({error}). {_ANEW}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(int(settings["max_length"]))
        self._pad = int(settings["pad"])
        self.fingerprint = f"onnx:{Path(self.model).name}:{self.precision}:{_digest(self.folder, settings)}"

    def __repr__(self) -> str:
        return f"OnnxEmbedder({str(self.folder)!r})"

    def embed(self, texts: Sequence[str]) -> Floats:
        """Texts longer than the model can read are cut at its length."""
        import numpy as np

        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        tokens = [self._tokenizer.encode(self._prefix + text).ids for text in texts]
        order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
        parts = [order[first : first + self._batch] for first in range(0, len(order), self._batch)]
        found = np.concatenate([self._run([tokens[place] for place in part]) for part in parts])
        rows = np.empty_like(found)
        rows[order] = found
        return unit_rows(rows, len(texts), f"of {self.folder}")

    def _run(self, tokens: Sequence[Sequence[int]]) -> Floats:
        import numpy as np

        longest = max(map(len, tokens))
        ids = np.full((len(tokens), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for place, own in enumerate(tokens):
            ids[place, : len(own)] = own
            mask[place, : len(own)] = 1
        vectors: Floats = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return vectors


_ANEW = "Export it anew: frugal embedder export."
_WANTED = {"model": str, "precision": str, "prefix": str, "max_length": int, "pad": int}


def is_exported(folder: Path) -> bool:
    """Whether a folder holds an exported model, by the file that is written last."""
    return (folder / SETTINGS).is_file()


def _settings(folder: Path) -> Mapping[str, Any]:
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{folder} holds no exported embedder: there is no {SETTINGS}. {_ANEW}") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder / SETTINGS} cannot be read ({error}). {_ANEW}") from error
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise ConfigurationError(f"{folder / SETTINGS} is not of format {FORMAT}, which this version reads. {_ANEW}")
    wrong = [name for name, kind in _WANTED.items() if type(settings.get(name)) is not kind]
    if wrong or settings["max_length"] < 1:
        raise ConfigurationError(f"{folder / SETTINGS} was changed: {', '.join(wrong) or 'max_length'} is not right. {_ANEW}")
    return settings


def _digest(folder: Path, settings: Mapping[str, Any]) -> str:
    """Of all that vectors depend on."""
    digest = blake2b(repr([settings[name] for name in _WANTED if name != "model"]).encode(), digest_size=8)
    for name in (MODEL, TOKENIZER):
        with (folder / name).open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()
