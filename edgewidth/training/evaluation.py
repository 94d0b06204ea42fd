"""The evaluation phase: many configurations of a trained supernet meet the same images.

That every configuration is judged by the same images, with statistics of batch normalisation from the same
training images, and that the maximum network's loss on them is subtracted, removes most of the noise. Rounds of
evaluations go on until those losses that they leave possible would all choose alike near the budget.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.files import write_atomic
from edgewidth.graph.space import ChannelConfig
from edgewidth.losses.fit import Evaluations
from edgewidth.losses.focus import macs_focus
from edgewidth.losses.record import record_losses
from edgewidth.losses.rounds import Rounds
from edgewidth.progress import SILENT
from edgewidth.training.evaluator import Evaluator
from edgewidth.training.loop.processes import join
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.networks.weights import load_supernet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.losses.focus import Focus
    from edgewidth.progress import Progress, Task
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.training.loop.processes import Processes


def evaluate_losses(
    space: SearchSpace,
    data: ImageData,
    *,
    supernet: Path,
    evaluations: Path,
    seed: int,
    progress: Progress = SILENT,
    most: int = 140,
    focus: Focus | None = None,
) -> UnaryLosses:
    """Evaluate configurations of a supernet until the choice is settled, and fit the unary losses.

    Every evaluation is kept as it comes, and not repeated after an interruption.

    Args:
        space: Of the supernet.
        data: Search images judge the configurations.
        supernet: The file of its weights.
        evaluations: The file in which evaluations are kept.
        seed: Of which configurations.
        progress: Where to report to.
        most: Evaluations, the held-out ones among them.
        focus: Near which budgets the losses should be known best; some shares of multiply-accumulates if None.

    Raises:
        FileError: There is no supernet, or it cannot be read.
        MismatchError: The supernet is of another space.
        StorageError: A file cannot be written.
        InfeasibleError: No configuration keeps a budget of the focus.
    """
    processes = join()
    evaluator = Evaluator(load_supernet(supernet, space).to(compute_device()), data)
    focus = focus or macs_focus(space)
    identity = "\n".join([_sha256(supernet), data.fingerprint, str(evaluator.images), str(seed)])
    with progress.task("Evaluating configurations", most + 1) as task:
        told = hashlib.sha256(identity.encode()).hexdigest()[:16]
        kept = _Kept(evaluations, told, space, evaluator, processes, task)
        rounds = Rounds(space, focus, kept.evaluations, most=most, seed=seed)
        losses = record_losses(rounds, data=data, images=evaluator.images, max_loss=kept.loss(space.largest))
    held_out = sum(held.quality.held_out for held in losses.held_out)
    progress.say(f"{len(losses.fitted)} configurations evaluated and {held_out} held out: {losses.evaluation.stopped}.")
    return losses


class _Kept:
    """Evaluated losses in a file, so that none is computed twice."""

    def __init__(
        self,
        path: Path,
        identity: str,
        space: SearchSpace,
        evaluator: Evaluator,
        processes: Processes,
        task: Task,
    ) -> None:
        self._path, self._largest, self._evaluator, self._task = path, space.largest, evaluator, task
        self._processes = processes
        self._head = {"identity": identity}
        self._losses: dict[ChannelConfig, float] = {}
        try:
            head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError):
            return
        if head == self._head:
            self._losses = {ChannelConfig.parse(line["config"]): line["loss"] for line in lines}
            task.advance(len(lines))

    def loss(self, config: ChannelConfig) -> float:
        """A configuration's loss, evaluated if it is not known."""
        self._evaluate([config])
        return self._losses[config]

    def evaluations(self, configs: Sequence[ChannelConfig]) -> Evaluations:
        """Configurations with what they lose against the maximum network."""
        self._evaluate([self._largest, *configs])
        return Evaluations(configs, np.array([self.loss(config) for config in configs]) - self.loss(self._largest))

    def _evaluate(self, configs: Sequence[ChannelConfig]) -> None:
        """Those that are not known, one at a time on every process."""
        missing = [config for config in configs if config not in self._losses]
        for first in range(0, len(missing), self._processes.count):
            group = missing[first : first + self._processes.count]
            self._losses |= zip(group, self._processes.map(self._evaluator.loss, group), strict=True)
            if self._processes.is_first:
                self._write()
            self._task.advance(len(group))

    def _write(self) -> None:
        lines = [{"config": str(config), "loss": loss} for config, loss in self._losses.items()]
        write_atomic(self._path, "".join(json.dumps(line) + "\n" for line in (self._head, *lines)).encode())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
