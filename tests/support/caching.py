"""Builders for tests of the cache."""

import re
import zlib

import numpy as np

from frugal_core.cache import Answered, SemanticCache, question_of
from frugal_core.types import Message, Query, Tier


class Words:
    """An embedder by the words of a text: texts that share words lie near each other. Counts its calls."""

    fingerprint = "words"

    def __init__(self, numbers=256):
        self.numbers = numbers
        self.calls = []

    def embed_documents(self, texts):
        self.calls.append(list(texts))
        return [self.vector(text) for text in texts]

    def vector(self, text):
        vector = np.full(self.numbers, 1e-3)
        for word in re.findall(r"\w+", text.lower()):
            vector[zlib.crc32(word.encode()) % self.numbers] += 1
        return vector


def ask(text, *, identity="models", **settings):
    """A question of one user turn."""
    return question_of(Query([Message("user", text)], (Tier("large"),)), identity=identity, **settings)


def told(text="the answer", **settings):
    """A model's answer."""
    return Answered(text, f'"{text}"', **settings)


def cache(store="memory://", **settings):
    """A cache by the words, that takes a neighbour from 0.8 on and has no guards, unless told otherwise."""
    return SemanticCache(store, **{"embed": Words(), "decider": 0.8, "guards": (), **settings})


def filled(own, *texts, **settings):
    """Answers each text by itself in capitals, through the cache."""
    for text in texts:
        own.lookup(ask(text, **settings)).settle(told(text.upper()))
    return own
