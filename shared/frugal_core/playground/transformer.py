"""A decoder-only transformer's forward pass in numpy, with a key-value cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

CONTEXT_WINDOW = 256
HEAD_SIZE = 32
ROTARY_BASE = 1000.0


@dataclass(slots=True)
class Cache:
    """Keys and values of the tokens read so far, each of shape (layers, heads, capacity, head size)."""

    keys: Array
    values: Array
    length: int = 0


class Transformer:
    """Pre-norm transformer: rotary positions, squared ReLU, tied embeddings, norms without parameters.

    Args:
        weights: ``embedding`` (vocabulary, width) and, for each layer i, ``i.qkv`` (width, 3 width), ``i.out``
            (width, width), ``i.up`` (width, 4 width) and ``i.down`` (4 width, width); float32.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        for array in weights.values():
            array.setflags(write=False)
        self._embedding = weights["embedding"]
        self._layers = [
            tuple(weights[f"{layer}.{part}"] for part in ("qkv", "out", "up", "down"))
            for layer in range((len(weights) - 1) // 4)
        ]
        self._width = self._embedding.shape[1]
        self._cosine, self._sine = rotary_tables()
        self.parameters = sum(array.size for array in weights.values())
        self.context_window = CONTEXT_WINDOW

    def new_cache(self, capacity: int) -> Cache:
        """Return an empty cache with room for `capacity` tokens."""
        shape = (len(self._layers), self._width // HEAD_SIZE, capacity, HEAD_SIZE)
        return Cache(np.empty(shape, np.float32), np.empty(shape, np.float32))

    def forward(self, tokens: Sequence[int], cache: Cache, *, last_only: bool = False) -> Array:
        """Read `tokens` after those in the cache and return the logits that follow each of them.

        Args:
            tokens: Ids of the new tokens; they are added to the cache.
            cache: From `new_cache`.
            last_only: Compute the logits of the last token alone.

        Returns:
            Logits of shape (tokens or 1, vocabulary).
        """
        start, stop = cache.length, cache.length + len(tokens)
        cosine, sine = self._cosine[start:stop], self._sine[start:stop]
        future = np.triu(np.full((len(tokens), stop), -np.inf, np.float32), start + 1) if len(tokens) > 1 else None
        hidden = normalise(self._embedding[list(tokens)])
        for layer, (qkv, out, up, down) in enumerate(self._layers):
            heads = (normalise(hidden) @ qkv).reshape(len(tokens), 3, -1, HEAD_SIZE).transpose(1, 2, 0, 3)
            cache.keys[layer, :, start:stop] = rotate(heads[1], cosine, sine)
            cache.values[layer, :, start:stop] = heads[2]
            queries: Array = rotate(heads[0], cosine, sine) * np.float32(HEAD_SIZE**-0.5)
            scores: Array = queries @ cache.keys[layer, :, :stop].swapaxes(-1, -2)
            if future is not None:
                scores += future
            mixed: Array = softmax(scores) @ cache.values[layer, :, :stop]
            hidden = hidden + mixed.transpose(1, 0, 2).reshape(len(tokens), -1) @ out
            hidden = hidden + np.square(np.maximum(normalise(hidden) @ up, 0)) @ down
        cache.length = stop
        if last_only:
            hidden = hidden[-1:]
        logits: Array = normalise(hidden) @ self._embedding.T
        return logits


def rotary_tables() -> tuple[Array, Array]:
    """Return cosine and sine of the rotary positions, each of shape (context window, head size / 2).

    Source: Su et al., RoFormer (2021), section 3.2.
    """
    frequencies = ROTARY_BASE ** (-np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)
    angles = np.outer(np.arange(CONTEXT_WINDOW), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotate(heads: Array, cosine: Array, sine: Array) -> Array:
    """Rotate (..., tokens, head size) by the positions in the tables."""
    first, second = heads[..., : HEAD_SIZE // 2], heads[..., HEAD_SIZE // 2 :]
    return np.concatenate((first * cosine - second * sine, second * cosine + first * sine), axis=-1)


def normalise(hidden: Array) -> Array:
    """Scale the last axis to a root mean square of 1."""
    scale = np.sqrt(np.mean(np.square(hidden), axis=-1, keepdims=True) + np.float32(1e-6))
    result: Array = hidden / scale
    return result


def softmax(scores: Array) -> Array:
    """Return the softmax over the last axis."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Array = weights / weights.sum(axis=-1, keepdims=True)
    return result
