"""Every task by the name that documents tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgewidth.errors import FileError
from edgewidth.tasks.classification.labels import read_labels
from edgewidth.tasks.classification.task import Classification

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgewidth.tasks.task import ReadTargets, Task

_ALL = (Classification,)
TASKS: dict[str, Callable[[tuple[str, ...]], Task]] = {task.name: task for task in _ALL}
COMPANIONS = tuple(name for task in _ALL for name in task.companion_names)
"""The names of all files that any task puts beside a model file."""

READERS: dict[str, Callable[[str, Mapping[str, NDArray[np.generic]]], ReadTargets]] = {Classification.name: read_labels}
"""What reads a task's targets from the arrays of a data source, whose name comes first."""


def find_task(name: str, output_names: tuple[str, ...]) -> Task:
    """The task that a document tells.

    Raises:
        FileError: This edgewidth does not know it.
    """
    if name not in TASKS:
        raise FileError(f"This edgewidth does not know the task {name!r}.", remedy="pip install --upgrade edgewidth")
    return TASKS[name](output_names)
