"""Metrics of many resamples at once: predictions and labels (..., rows) -> scores (...).

The same numbers as the metrics of records, whose names they go by; NaN where one is undefined.
"""

import numpy as np
from numpy.typing import NDArray

from reports.stats import Array, Score


def accuracy(predictions: NDArray, labels: NDArray) -> Array:
    """Fraction of rows whose class is right."""
    return np.mean(predictions == labels, axis=-1)


def f1(predictions: NDArray, labels: NDArray) -> Array:
    """F1 of class 1; 0 where neither side has one."""
    ours, theirs = predictions == 1, labels == 1
    both = 2.0 * np.sum(ours & theirs, axis=-1)
    return both / np.maximum(1, ours.sum(axis=-1) + theirs.sum(axis=-1))


def matthews(predictions: NDArray, labels: NDArray) -> Array:
    """Matthews correlation of classes 0 and 1; 0 where either side is constant.

    NaN where there are other classes.
    """
    found = np.nan_to_num(pearson(predictions, labels), nan=0.0)
    two = np.isin(predictions, (0, 1)).all() and np.isin(labels, (0, 1)).all()
    return found if two else np.full_like(found, np.nan)


def pearson(predictions: NDArray, labels: NDArray) -> Array:
    """Linear correlation; NaN where either side is constant or not finite."""
    x, y = np.broadcast_arrays(predictions.astype(float), labels.astype(float))
    constant = (np.ptp(x, axis=-1) == 0) | (np.ptp(y, axis=-1) == 0)
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.sum(x * x, axis=-1) * np.sum(y * y, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):  # a constant side has no correlation
        return np.where(constant, np.nan, np.sum(x * y, axis=-1) / scale)


def spearman(predictions: NDArray, labels: NDArray) -> Array:
    """Linear correlation of the ranks, ties at their mean rank."""
    from scipy.stats import rankdata

    return pearson(rankdata(predictions, axis=-1), rankdata(labels, axis=-1))


SCORES: dict[str, Score] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
