"""Evaluated losses in a file, so that what was evaluated before an interruption is not evaluated again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InputError
from edgewidth.files import write_atomic
from edgewidth.graph.space import ChannelConfig
from edgewidth.losses.fit import Evaluations

if TYPE_CHECKING:
    from edgewidth.progress import Task
    from edgewidth.training.loop.processes import Processes


class KeptLosses:
    """The losses of configurations of one supernet, in a file of JSON lines, which need not exist.

    ``identity`` is that of the supernet and all else that losses depend on: a file of another identity is not read, and
    is replaced by the first new evaluation. ``largest`` is the maximum configuration, against which others lose.
    """

    def __init__(self, path: Path, identity: str, largest: ChannelConfig) -> None:
        self._path, self._head, self._largest = path, {"identity": identity}, largest
        self._losses: dict[ChannelConfig, float] = {}
        try:
            head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if head == self._head:
                self._losses = {ChannelConfig.parse(line["config"]): float(line["loss"]) for line in lines}
        except (OSError, ValueError, LookupError, TypeError, RecursionError, InputError):
            return  # damaged: what it held is computed again

    def __len__(self) -> int:
        return len(self._losses)

    @property
    def max_loss(self) -> float:
        """The maximum configuration's own loss."""
        return self._losses[self._largest]

    def has_all(self, configs: Iterable[ChannelConfig]) -> bool:
        """Whether these configurations and the maximum one are known."""
        return not self._unknown(configs)

    def excess(self, configs: Sequence[ChannelConfig]) -> Evaluations:
        """What these configurations, which are known, lose against the maximum one."""
        return Evaluations(configs, np.array([self._losses[config] for config in configs]) - self.max_loss)

    def evaluate(
        self, configs: Iterable[ChannelConfig], loss: Callable[[ChannelConfig], float], processes: Processes, task: Task
    ) -> None:
        """Make these configurations and the maximum one known: one at a time on every process, each kept as it comes.

        Raises:
            StorageError: The file cannot be written.
        """
        unknown = self._unknown(configs)
        for first in range(0, len(unknown), processes.count):
            group = unknown[first : first + processes.count]
            self._losses |= zip(group, processes.map(loss, group), strict=True)
            if processes.is_first:
                self._write()
            task.advance(len(group))

    def _unknown(self, configs: Iterable[ChannelConfig]) -> list[ChannelConfig]:
        return [config for config in (self._largest, *configs) if config not in self._losses]

    def _write(self) -> None:
        lines = [{"config": str(config), "loss": loss} for config, loss in self._losses.items()]
        write_atomic(self._path, "".join(json.dumps(line) + "\n" for line in (self._head, *lines)).encode())
