"""Rivals: configurations near the budget, each trained briefly on one schedule, the bad ones dropped early."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from edgewidth.errors import InputError
from edgewidth.files import write_atomic
from edgewidth.graph.space import ChannelConfig
from edgewidth.losses.correction import Observed
from edgewidth.progress import SILENT
from edgewidth.training.finetune import begin, largest_as_teacher
from edgewidth.training.loop.checkpoint import Checkpoints
from edgewidth.training.loop.loop import make_batches
from edgewidth.training.loop.processes import join
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.ordinary import Lesson, Part, finish

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.progress import Task
    from edgewidth.records.provenance import Provenance
    from edgewidth.training.ordinary import Teacher
    from edgewidth.training.recipes import Phase

RIVALS = "rivals"
"""How the names of their checkpoints begin."""
MOMENT_IMAGES = 256
"""On how many training images a rival's statistics are computed, the same for all: it is judged again and again."""


class RivalTraining:
    """Trains configurations of a supernet on one schedule, and keeps what each scored at every rung.

    All see the same batches, and are judged on the same holdout images. ``rungs``: after how many steps they are
    judged, ascending; the last is the length of the schedule. Scores are kept in the file ``kept`` as they come, and
    each rival's state among ``checkpoints``: an interrupted training goes on.
    """

    def __init__(
        self,
        space: SearchSpace,
        data: ImageData,
        phase: Phase,
        *,
        rungs: Sequence[int],
        supernet: Path,
        trained: Path | None,
        kept: Path,
        checkpoints: Path,
        provenance: Provenance,
        seed: int,
    ) -> None:
        self._space, self._data, self._phase, self._seed = space, data, phase, seed
        self._supernet, self._trained = supernet, trained
        self._checkpoints, self._provenance = checkpoints, provenance
        self._processes = join()
        self._teacher: Teacher | None = None
        """That of the first one, which is the same for all."""
        self.rungs = tuple(rungs)
        self.scores = _Scores(kept, provenance.digest)

    def race(self, configs: Sequence[ChannelConfig], task: Task) -> None:
        """Train all to the first rung, the better half of them to the second, and so on.

        Raises:
            TrainingError: A loss is not finite, or diverges.
            StorageError: A file cannot be written.
        """
        alive = list(configs)
        for rung in range(len(self.rungs)):
            for config in alive:
                if not self.scores.has(config, rung):
                    began = time.monotonic()
                    loss = self._train(config, rung)
                    self.scores.add(Observed(config, rung, loss), time.monotonic() - began)
                    self._processes.on_first(self.scores.write)
                task.advance(self.rungs[rung] - (self.rungs[rung - 1] if rung else 0))
            ranked = sorted(alive, key=lambda config: self.scores.loss(config, rung))
            kept = ranked[: max(1, -(-len(ranked) // 2))]
            for config in set(alive) - set(kept if rung + 1 < len(self.rungs) else ()):
                self._processes.on_first(self._states(config).clear)
            alive = kept

    def _train(self, config: ChannelConfig, rung: int) -> float:
        """The loss after training on to the end of a rung."""
        data, seed, processes, states = self._data, self._seed, self._processes, self._states(config)
        network, _, supernet = begin(
            self._space,
            config,
            data,
            supernet=self._supernet,
            # What goes on from its state does not begin: which beginning is the better one need not be found out.
            trained=None if states.latest() else self._trained,
            seed=seed,
            moment_images=MOMENT_IMAGES,
        )
        batches = make_batches(data, self._phase, seed=seed, device=compute_device(), processes=processes)
        if supernet and self._phase.distillation and self._teacher is None:
            self._teacher = largest_as_teacher(supernet, batches)
        Lesson(network, data, self._phase, seed, self._teacher, processes).train(
            batches,
            "Training a rival",
            checkpoints=states,
            log=None,
            progress=SILENT,
            part=Part(self.rungs[-1], self.rungs[rung]),
        )
        finish(network, data, seed=seed, most=MOMENT_IMAGES)
        outputs = torch.from_numpy(network_outputs(network, data.holdout.images))
        loss = data.task.objective().loss(outputs, torch.from_numpy(data.holdout.targets)).double()
        processes.average(loss)
        return float(loss)

    def _states(self, config: ChannelConfig) -> Checkpoints:
        name = f"{RIVALS}-{hashlib.sha256(str(config).encode()).hexdigest()[:8]}"
        return Checkpoints(self._checkpoints, name, self._provenance.extended({}, {"configuration": str(config)}))


class _Score(NamedTuple):
    loss: float
    seconds: float


class _Scores:
    """What rivals scored, in a file of JSON lines, which need not exist; one of another ``identity`` is replaced."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._head = path, {"identity": identity}
        self._found: dict[tuple[ChannelConfig, int], _Score] = {}
        try:
            head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if head == self._head:
                self._found = {
                    (ChannelConfig.parse(line["config"]), int(line["rung"])): _Score(
                        float(line["loss"]), float(line["seconds"])
                    )
                    for line in lines
                }
        except (OSError, ValueError, LookupError, TypeError, RecursionError, InputError):
            return  # damaged: what it held is trained again

    @property
    def observed(self) -> list[Observed]:
        """All scores, in the order of the rungs."""
        found = [Observed(config, rung, score.loss) for (config, rung), score in self._found.items()]
        return sorted(found, key=lambda one: one.rung)

    @property
    def seconds(self) -> float:
        """What all of them took to train and to judge."""
        return sum(score.seconds for score in self._found.values())

    def has(self, config: ChannelConfig, rung: int) -> bool:
        """Whether this was scored before."""
        return (config, rung) in self._found

    def loss(self, config: ChannelConfig, rung: int) -> float:
        """What was scored."""
        return self._found[config, rung].loss

    def add(self, observed: Observed, seconds: float) -> None:
        """Know one more."""
        self._found[observed.config, observed.rung] = _Score(observed.loss, seconds)

    def write(self) -> None:
        """Keep what is known.

        Raises:
            StorageError: The file cannot be written.
        """
        lines = [
            {"config": str(config), "rung": rung, "loss": score.loss, "seconds": score.seconds}
            for (config, rung), score in self._found.items()
        ]
        write_atomic(self._path, "".join(json.dumps(line) + "\n" for line in (self._head, *lines)).encode())
