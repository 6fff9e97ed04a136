"""Collecting answers in production: the same rows as `record` writes, of the calls that a program makes anyway."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from frugal_core.arguments import price_book
from frugal_core.errors import FrugalWarning
from frugal_core.learning.grading import cell_of
from frugal_core.learning.items import id_of, written
from frugal_core.learning.row_file import RowFile
from frugal_core.learning.rows import row_of
from frugal_core.tiers import describe
from frugal_core.types import Answer, Query, Tier


class Collection:
    """A file that answers are added to. Thread-safe; once it is open it never raises, since its callers have better to do.

    Each query and model has one row, of the first answer. Queries with images or files are passed over, since their text does
    not tell them apart, and so are those without text.

    Args:
        path: The file; rows are added to those in it. One process writes a file.
        dataset: Name of the rows' dataset; by default the file's name up to its first dot, as for `record`.
        prices: USD per million tokens by model name, over the packaged prices.

    Raises:
        ConfigurationError: `prices` is malformed.
        RecordingsError: The file cannot be used, or another process is writing it.
    """

    def __init__(self, path: str | Path, dataset: str | None = None, prices: Mapping[str, Any] | None = None) -> None:
        self._path = Path(path)
        self._dataset = dataset or self._path.name.split(".")[0]
        self._prices = price_book(prices)
        self._lock = Lock()
        self._abouts: dict[tuple[str, str | None], Tier] = {}
        self._told = False
        self._file = RowFile(self._path)
        try:
            self._cells = set(map(cell_of, self._file.rows))
        except BaseException:
            self._file.close()
            raise
        self._file.rows = []

    def add(self, query: Query, model: str, provider: str | None, read: Callable[[Query], Answer]) -> None:
        """Keep an answer, unless the model has answered this query before. What goes wrong is told once.

        Args:
            query: The query; of the model it says nothing yet.
            model: Name of the model.
            provider: Who serves it, where known.
            read: Gives the answer, once the query says of whom.
        """
        try:
            self._add(query, model, provider, read)
        except Exception as error:
            with self._lock:
                told, self._told = self._told, True
            if not told:
                warnings.warn(
                    f"{self._path}: an answer of {model!r} could not be recorded ({type(error).__name__}: {error}). The "
                    "program goes on without. Check disk and permissions.",
                    FrugalWarning,
                    stacklevel=3,
                )

    def close(self) -> None:
        """Let go of the file; answers after that are not kept."""
        with self._lock:
            self._file.close()

    def _add(self, query: Query, model: str, provider: str | None, read: Callable[[Query], Answer]) -> None:
        text = written(query)
        if not text.strip() or any(message.has_media for message in query.messages):
            return
        cell = self._dataset, id_of(text), model
        with self._lock:
            if cell in self._cells or self._file.closed:
                return
            self._cells.add(cell)
            about = self._abouts.get((model, provider))
            if about is None:
                about = self._abouts[model, provider] = describe(model, model, provider, self._prices)
        asked = replace(query, tiers=(about,))
        try:
            row = row_of(self._dataset, asked, model, read(asked))
            with self._lock:
                if not self._file.closed:
                    self._file.append(row)
        except BaseException:
            with self._lock:
                self._cells.discard(cell)
            raise
