"""Weights as 8-bit integers with one scale per row or column, in plain ``.npz`` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def save_weights(path: Path, weights: Mapping[str, Array]) -> None:
    """Write matrices as int8 with one float32 scale per output channel (the embedding: per token)."""
    arrays: dict[str, npt.NDArray[np.int8] | Array] = {}
    for name, matrix in weights.items():
        scale = np.maximum(np.abs(matrix).max(axis=_axis(name), keepdims=True), 1e-12).astype(np.float32) / 127
        arrays[name] = np.round(matrix / scale).astype(np.int8)
        arrays[f"{name}.scale"] = scale
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_weights(path: Path) -> dict[str, Array]:
    """Read what `save_weights` wrote, as float32."""
    with np.load(path, allow_pickle=False) as file:
        return {
            name: file[name].astype(np.float32) * file[f"{name}.scale"] for name in file.files if not name.endswith(".scale")
        }


def _axis(name: str) -> int:
    return 1 if name == "embedding" else 0
