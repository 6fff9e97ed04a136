"""The embedder that a cache has where none is named."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from frugal_core.cache.embedders.base import Embedder, as_embedder
from frugal_core.errors import FrugalWarning

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODEL = "sentence-transformers/all-MiniLM-L6-v2"

_PATIENCE_S = 3.0


def default_embedder() -> Embedder | None:
    """What `frugal embedder export` wrote, where it is; else all-MiniLM-L6-v2 by sentence-transformers.

    Returns:
        `None`, with a warning that says what to do, where neither is to be had.
    """
    failures: list[str] = []
    for one in (_exported, _original):
        try:
            found = one()
        except Exception as error:  # not installed, damaged, or its weights can be had neither here nor from the hub
            failures.append(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            continue
        if found is not None:
            if failures:
                warnings.warn(f"The exported embedder is passed over. {failures[0]}", FrugalWarning, stacklevel=2)
            return as_embedder(found)
    warnings.warn(
        f"The cache answers only questions asked in the same words: there is no embedder ({'; '.join(failures)}). Install one "
        "by pip install 'langchain-frugal[embeddings]', with a network or with frugal embedder export FOLDER; give embed=…, or "
        "say embed=None.",
        FrugalWarning,
        stacklevel=2,
    )
    return None


def _exported() -> Any:
    from frugal_core.cache.embedders.onnx import OnnxEmbedder, is_exported
    from frugal_core.cache.embedders.onnx_export import default_folder

    folder = default_folder()
    return OnnxEmbedder(folder) if is_exported(folder) else None


def _original() -> Any:
    return opened_model(MODEL)


def opened_model(name: str) -> SentenceTransformer:
    """A model of sentence-transformers, on the processor, from this machine's files if they are here.

    If they are not, the hub is asked once whether it can be reached, and given up soon: loading would try many times.

    Args:
        name: A folder, or a name on the hub.

    Raises:
        ImportError: sentence-transformers is not installed.
        Exception: The model is neither here nor on a hub that answers, or is none.
    """
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(name, device="cpu", local_files_only=True)
    except OSError:
        if Path(name).exists():
            raise
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    get_hf_file_metadata(hf_hub_url(name, "modules.json"), timeout=_PATIENCE_S)
    return SentenceTransformer(name, device="cpu")
