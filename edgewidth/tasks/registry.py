"""Every task by the name that documents tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgewidth.errors import FileError
from edgewidth.tasks.classification.task import Classification

if TYPE_CHECKING:
    from edgewidth.tasks.task import Task

TASKS: dict[str, Callable[[tuple[str, ...]], Task]] = {task.name: task for task in (Classification,)}


def find_task(name: str, output_names: tuple[str, ...]) -> Task:
    """The task that a document tells.

    Raises:
        FileError: This edgewidth does not know it.
    """
    if name not in TASKS:
        raise FileError(f"This edgewidth does not know the task {name!r}.", remedy="pip install --upgrade edgewidth")
    return TASKS[name](output_names)
