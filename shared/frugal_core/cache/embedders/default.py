"""The embedder that a cache has where none is named."""

from __future__ import annotations

import warnings

from frugal_core.cache.embedders.base import Embedder, as_embedder
from frugal_core.errors import FrugalWarning

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def default_embedder() -> Embedder | None:
    """all-MiniLM-L6-v2 by sentence-transformers; `None`, with a warning that says what to do, where that is not to be had."""
    try:
        from sentence_transformers import SentenceTransformer

        return as_embedder(SentenceTransformer(MODEL))
    except Exception as error:  # not installed, or its weights can be had neither here nor from the hub
        warnings.warn(
            f"The cache answers only questions asked in the same words: there is no embedder ({type(error).__name__}). Install "
            "one by pip install 'langchain-frugal[embeddings]', give embed=…, or say embed=None.",
            FrugalWarning,
            stacklevel=2,
        )
        return None
