"""How often one model is right where another is wrong: what a cascade of the two could gain at most."""

from __future__ import annotations

import numpy as np

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats


def complementarity(quality: Floats) -> Floats:
    """Maximum performance improvement, MPI(A|B) = P(A right and B wrong), of all pairs of models.

    Chen, Zaharia & Zou 2023 (arXiv 2305.05176), section 4. Graded quality counts by how much better A is:
    the mean of max(0, quality of A − quality of B).

    Args:
        quality: Shape (queries, models): quality of each answer, in [0, 1].

    Returns:
        Shape (models, models): MPI of the row's model over the column's, in [0, 1]; 0 on the diagonal.

    Raises:
        ConfigurationError: The shape is another, there are no queries, or a value is missing or out of range.

    >>> complementarity(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])).tolist()
    [[0.0, 0.25], [0.5, 0.0]]
    """
    quality = np.asarray(quality, dtype=np.float64)
    if quality.ndim != 2 or not quality.size:
        raise ConfigurationError(f"quality has shape {quality.shape}: give one row per query and one column per model.")
    if not ((quality >= 0) & (quality <= 1)).all():
        row, model = np.argwhere(~((quality >= 0) & (quality <= 1)))[0]
        raise ConfigurationError(
            f"quality of query {row}, model {model} is {quality[row, model]}: it must be a number from 0 to 1; leave out "
            "queries that not every model answered."
        )
    columns = np.ascontiguousarray(quality.T)
    return np.array([[np.maximum(one - other, 0.0).mean() for other in columns] for one in columns])
