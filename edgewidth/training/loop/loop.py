"""The loop that every training shares: steps, checkpoints, a line per epoch, and taking up where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgewidth.data.batches import Batches
from edgewidth.files import write_atomic
from edgewidth.training.loop.checkpoint import Checkpoint, Checkpoints
from edgewidth.training.loop.memory import keep_freed_memory
from edgewidth.training.loop.optimise import Guard, Optimiser
from edgewidth.training.loop.processes import ALONE
from edgewidth.training.networks.layers import training_dtype

if TYPE_CHECKING:
    from edgewidth.data.batches import Batch
    from edgewidth.data.split import ImageData
    from edgewidth.progress import Progress, Task
    from edgewidth.training.loop.processes import Processes
    from edgewidth.training.recipes import Phase

CHECKPOINT_SECONDS = 60.0
"""A checkpoint is written this often, and at the end of every epoch that is long enough."""
SHORTEST_SECONDS = 5.0
"""Epochs shorter than this share a checkpoint: little is lost with them."""
LOSS = "loss"
"""The entry of a step's losses that the guard watches."""


class Averager:
    """The exponential average of a network's weights over about the last ``steps`` steps."""

    def __init__(self, network: nn.Module, steps: float) -> None:
        self._parameters = dict(network.named_parameters())
        self._decay = 1 - 1 / max(1.0, steps)
        self.averages = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights into the average."""
        torch._foreach_lerp_(list(self.averages.values()), list(self._parameters.values()), 1 - self._decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Replace the weights by their average."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self.averages[name])


def make_batches(
    data: ImageData,
    phase: Phase,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype | None = None,
    processes: Processes = ALONE,
) -> Batches:
    """The batches of a phase, of which each process gets its share; ``dtype`` None: what the device trains in.

    Raises:
        DataError: The phase's batches are too small for so many processes.
    """
    return Batches(
        data.train,
        batch=phase.batch,
        augmentation=phase.augmentation,
        move_targets=data.task.objective().moved,
        seed=seed,
        device=device,
        dtype=dtype or training_dtype(device),
        share=processes.index,
        shares=processes.count,
    )


@dataclass(frozen=True)
class Training:
    """What a loop needs: a network, how to feed it, and what one step does.

    ``step`` computes losses by name for (step, batch), mean over the images, and leaves gradients; the loss
    called ``loss`` is the one that must stay finite, and not far above ``chance_loss`` (nats). ``processes`` share out
    every batch.
    """

    network: nn.Module
    optimiser: Optimiser
    batches: Batches
    steps: int
    """How many there are in all; the schedule is of as many."""
    step: Callable[[int, Batch], dict[str, Tensor]]
    chance_loss: float
    averager: Averager | None = None
    processes: Processes = ALONE

    @property
    def epochs(self) -> int:
        """How many epochs are begun in all."""
        return -(-self.steps // self.batches.per_epoch)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that decides how training goes on."""
        groups: dict[str, dict[str, Tensor]] = {
            "weights": self.network.state_dict(),
            "momentum": self.optimiser.state(),
        }
        if self.averager is not None:
            groups["average"] = self.averager.averages
        return {f"{group}/{name}": tensor for group, state in groups.items() for name, tensor in state.items()}

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up what ``state`` returned."""
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "momentum": {}, "average": {}}
        for key, tensor in tensors.items():
            group, name = key.split("/", 1)
            groups[group][name] = tensor
        for name, tensor in self.network.state_dict().items():
            tensor.copy_(groups["weights"][name])
        if self.averager is not None:
            for name, average in self.averager.averages.items():
                average.copy_(groups["average"][name])
        self.optimiser.load_state(groups["momentum"])


@dataclass
class _Meter:
    """Means of an epoch's losses; summed on the device, so that a GPU need not wait for every step."""

    processes: Processes
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            self.sums[name] = self.sums[name] + loss.detach() if name in self.sums else loss.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Over all processes, whose shares of a batch are of one size and whose steps give the same losses."""
        means = torch.stack([total / self.counts[name] for name, total in self.sums.items()])
        self.processes.average(means)
        return dict(zip(self.sums, means.tolist(), strict=True))


def run_training(
    training: Training,
    *,
    checkpoints: Checkpoints,
    log: Path | None,
    title: str,
    progress: Progress,
    until: int | None = None,
) -> None:
    """Run a training to its end, or ``until`` so many of its steps are done, from its last checkpoint if there is one.

    ``log`` gets one JSON line per epoch; None: nothing does. The checkpoints stay until the caller, having stored the
    result, clears them. Of several processes all read the checkpoint, and the first writes.

    Raises:
        TrainingError: The loss is not finite, or diverges.
        StorageError: A checkpoint or the log cannot be written.
    """
    keep_freed_memory()
    history: list[dict[str, Any]] = []
    first, end = 0, training.steps if until is None else until
    found = checkpoints.latest()
    if found is not None:
        training.load_state(found.tensors)
        history, first = found.facts["history"], found.step
        progress.say(f"{title}: goes on from step {first} of {training.steps}.")
    guard = Guard(training.chance_loss)
    saved = time.monotonic()
    per_epoch = training.batches.per_epoch
    writes = training.processes.is_first
    meter, began = _Meter(training.processes), time.monotonic()
    with progress.task(title, end) as task:
        task.advance(first)
        for step in range(first, end):
            meter.add(_one_step(training, step))
            ends_epoch = (step + 1) % per_epoch == 0
            if step % 20 == 0 or ends_epoch:
                _watch(training, meter, guard, step, task)
            if ends_epoch:
                history.append(_line(training, meter, step, time.monotonic() - began))
                if writes and log is not None:
                    write_atomic(log, "".join(json.dumps(line) + "\n" for line in history).encode())
                meter, began = _Meter(training.processes), time.monotonic()
            due = time.monotonic() - saved > (SHORTEST_SECONDS if ends_epoch else CHECKPOINT_SECONDS)
            if writes and (due or step + 1 == end):
                checkpoints.save(Checkpoint(step + 1, training.state(), {"history": history}))
                saved = time.monotonic()
            task.advance()


def _one_step(training: Training, step: int) -> dict[str, Tensor]:
    losses = training.step(step, training.batches[step])
    # Here, once a step, and not in hooks of autograd as DistributedDataParallel does it: the gradients of a cut of the
    # weights are added up beside autograd.
    training.processes.average(training.optimiser.gradients)
    training.optimiser.step(step)
    if training.averager is not None:
        training.averager.update()
    return losses


def _watch(training: Training, meter: _Meter, guard: Guard, step: int, task: Task) -> None:
    mean = meter.means()[LOSS]
    epoch = step // training.batches.per_epoch
    guard.check(mean, epoch=epoch, learning_rate=training.optimiser.learning_rate(step))
    task.note(f"epoch {epoch + 1}/{training.epochs}, loss {mean:.3f}")


def _line(training: Training, meter: _Meter, step: int, seconds: float) -> dict[str, Any]:
    return {
        "epoch": step // training.batches.per_epoch + 1,
        "step": step + 1,
        "seconds": round(seconds, 3),
        "learning_rate": training.optimiser.learning_rate(step),
        **meter.means(),
    }
