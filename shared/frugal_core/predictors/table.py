"""A matrix in a policy file: too many numbers to review one by one, so they are kept short."""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from frugal_core.errors import ConfigurationError
from frugal_core.saving import saveable

if TYPE_CHECKING:  # reading rows loads no numpy
    import numpy.typing as npt

    from frugal_core.learning.columns import Floats


@saveable("table")
@dataclass(frozen=True)
class Table:
    """Rows of numbers in single precision, as base64 text: a quarter of what they take as decimal numbers.

    What is saved is what was used: `of` rounds to single precision at once.

    Attributes:
        width: Numbers per row, at least 1.
        data: The rows one after the other, little-endian, in base64.

    Raises:
        ConfigurationError: The text is no such table.

    >>> Table.of([[0.5, 1.0], [2.0, -4.0]]).rows
    ((0.5, 1.0), (2.0, -4.0))
    """

    width: int
    data: str

    def __post_init__(self) -> None:
        if type(self.width) is not int or self.width < 1 or not isinstance(self.data, str):
            raise ConfigurationError(f"A table has a width of 1 or more and base64 text as data; this one has {self.width!r}.")
        if len(self._bytes) % (4 * self.width):
            raise ConfigurationError(
                f"A table's {len(self._bytes)} bytes are no whole rows of {self.width} numbers: it was changed. Save it anew."
            )

    @classmethod
    def of(cls, matrix: npt.ArrayLike) -> Table:
        """A table of these numbers.

        Args:
            matrix: Shape (rows, numbers), finite, at least one number wide.
        """
        import numpy as np

        values = np.asarray(matrix, dtype="<f4")
        if values.ndim != 2 or not np.isfinite(values).all():
            raise ConfigurationError(f"A table is made of finite numbers of shape (rows, numbers), not {values.shape}.")
        return cls(values.shape[1], b64encode(values.tobytes()).decode("ascii"))

    @cached_property
    def rows(self) -> tuple[tuple[float, ...], ...]:
        """The rows."""
        return tuple(struct.iter_unpack(f"<{self.width}f", self._bytes))

    @cached_property
    def matrix(self) -> Floats:
        """The same as an array of shape (rows, width)."""
        import numpy as np

        return np.frombuffer(self._bytes, dtype="<f4").reshape(-1, self.width).astype(np.float64)

    @property
    def _bytes(self) -> bytes:
        try:
            return b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigurationError(f"A table's data are not base64 text: {error}. Save it anew.") from None
