"""Labels as data sources bring them, as the targets of classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import DataError
from edgewidth.tasks.classification.names import class_name
from edgewidth.tasks.classification.task import Classification
from edgewidth.tasks.task import ReadTargets

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_labels(where: str, arrays: Mapping[str, NDArray[np.generic]]) -> ReadTargets:
    """Read ``y_train``, ``y_test`` and ``class_names`` if there; ``where`` names their source.

    Labels are whole numbers, any, or the names of the classes, or one-hot rows. The targets are indices of the task's
    classes: (n,) int64.

    Raises:
        DataError: They are something else, ``y_test`` has one that ``y_train`` lacks, or ``class_names`` does not name
            them.
    """
    train, test = (_labels(where, name, arrays[name]) for name in ("y_train", "y_test"))
    if train.dtype.kind != test.dtype.kind:
        raise DataError(
            f"{where}: y_train is {train.dtype}, and y_test is {test.dtype}.",
            remedy="Store both as numbers or as text.",
        )
    known, indices = np.unique(train, return_inverse=True)
    unknown = np.setdiff1d(test, known)
    if len(unknown):
        raise DataError(
            f"{where}: y_test has the label {unknown[0]}, which y_train lacks.",
            remedy="Add images of it to x_train, or leave its images out of x_test.",
        )
    task = Classification(_class_names(where, arrays.get("class_names"), known))
    return ReadTargets(indices.astype(np.int64), np.searchsorted(known, test).astype(np.int64), task)


def _labels(where: str, name: str, given: NDArray[np.generic]) -> NDArray[np.generic]:
    """One whole number, or one text, for each image."""
    labels = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given
    if labels.ndim == 1 and labels.dtype.kind in "US":
        return _text(where, name, labels)
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf" and _is_one_hot(labels):
        places: NDArray[np.generic] = np.argmax(labels, axis=1)
        return places
    if labels.ndim == 1 and labels.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):
            whole = labels.astype(np.int64)
        if np.array_equal(whole, labels):
            return whole
    shape = "×".join(map(str, given.shape))
    raise DataError(
        f"{where}: {name} must be one whole number or name per image; it is {given.dtype} of {shape}.",
        remedy="Store the place of each image's class, as int64, or its name.",
    )


def _is_one_hot(labels: NDArray[np.generic]) -> bool:
    return bool(np.isin(labels, (0, 1)).all() and (np.asarray(labels, np.float64).sum(1) == 1).all())


def _text(where: str, name: str, labels: NDArray[np.generic]) -> NDArray[np.generic]:
    if labels.dtype.kind == "U":
        return labels
    try:
        return np.array([bytes(label).decode() for label in labels.tolist()])
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: {name} has bytes that are not UTF-8.", remedy="Store text as str.") from error


def _class_names(where: str, given: NDArray[np.generic] | None, known: NDArray[np.generic]) -> tuple[str, ...]:
    """The names of the labels: their own if they are text, else what ``class_names`` has at their places."""
    if known.dtype.kind == "U":
        found = known.tolist()
    elif given is None:
        return tuple(str(label) for label in known)
    else:
        names = _text(where, "class_names", given) if given.dtype.kind == "S" else given
        if names.ndim != 1 or names.dtype.kind != "U":
            raise DataError(
                f"{where}: class_names must be one name per class; it is {given.dtype} of {given.shape}.",
                remedy="Store numpy.array(['cat', 'dog', …]), or leave it out.",
            )
        if len(known) and (known.min() < 0 or known.max() >= len(names)):
            raise DataError(
                f"{where}: class_names has {len(names)} names, and labels go from {known.min()} to {known.max()}.",
                remedy="Store one name for each label from 0 on, or leave class_names out.",
            )
        found = [str(names[label]) for label in known]
    composed = tuple(class_name(name, f"{where}: the class {name!r}") for name in found)
    if len(set(composed)) < len(composed):
        twice = next(name for name in composed if composed.count(name) > 1)
        raise DataError(f"{where}: two labels have the name {twice!r}.", remedy="Give each class a name of its own.")
    return composed
