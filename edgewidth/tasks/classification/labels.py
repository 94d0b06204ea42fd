"""Labels as data sources bring them, as the targets of classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import DataError
from edgewidth.tasks.classification.task import Classification
from edgewidth.tasks.task import ReadTargets

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_labels(where: str, arrays: Mapping[str, NDArray[np.generic]]) -> ReadTargets:
    """Read ``y_train``, ``y_test`` (any whole numbers) and ``class_names`` if there; ``where`` names their source.

    The targets are indices of the task's classes: (n,) int64.

    Raises:
        DataError: They are no whole numbers, or ``y_test`` has one that ``y_train`` lacks.
    """
    train, test = (_whole_numbers(where, name, arrays[name]) for name in ("y_train", "y_test"))
    known, indices = np.unique(train, return_inverse=True)
    unknown = np.setdiff1d(test, known)
    if len(unknown):
        raise DataError(
            f"{where}: y_test has the label {unknown[0]}, which y_train lacks.",
            remedy="Add images of it to x_train, or leave its images out of x_test.",
        )
    task = Classification(_class_names(arrays.get("class_names"), known))
    return ReadTargets(indices.astype(np.int64), np.searchsorted(known, test).astype(np.int64), task)


def _whole_numbers(where: str, name: str, labels: NDArray[np.generic]) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{where}: {name} must be one whole number per image; it is {labels.dtype} of {labels.shape}.",
            remedy="Where labels are one-hot, store y.argmax(1); where they are floats, y.astype('int64').",
        )
    return labels.astype(np.int64)


def _class_names(names: NDArray[np.generic] | None, known: NDArray[np.int64]) -> tuple[str, ...]:
    if names is None or names.ndim != 1 or not len(known) or known.min() < 0 or known.max() >= len(names):
        return tuple(str(label) for label in known)
    return tuple(str(names[label]) for label in known)
