"""The optimiser, its schedule, and the guard against a training that has gone wrong."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgewidth.errors import TrainingError
from edgewidth.training.recipes import Phase

REMEDY = (
    f"Give a lower `learning_rate` (without it {Phase.learning_rate}), or look for images or labels that are wrong."
)


class Optimiser:
    """Nesterov momentum with a warm-up and half a cosine; no weight decay on normalisation and biases.

    ``gradients`` are those of all parameters in one row, (numbers,): every parameter's ``grad`` is a part of it, from
    now on and for good.
    """

    def __init__(self, network: nn.Module, phase: Phase, *, batch: int, steps: int) -> None:
        self._phase = phase
        self._steps = steps
        self._peak = phase.learning_rate * batch / 256
        self.parameters = dict(network.named_parameters())
        decayed = [p for name, p in self.parameters.items() if name.endswith("kernel")]
        spared = [p for name, p in self.parameters.items() if not name.endswith("kernel")]
        groups = [{"params": decayed, "weight_decay": phase.weight_decay}, {"params": spared, "weight_decay": 0.0}]
        self._torch = torch.optim.SGD(groups, lr=self._peak, momentum=phase.momentum, nesterov=True, fused=True)
        self.gradients = _in_a_row(list(self.parameters.values()))

    def learning_rate(self, step: int) -> float:
        """The learning rate at a step from 0."""
        warmup = max(1.0, self._phase.warmup * self._steps)
        if step < warmup:
            return self._peak * (step + 1) / (warmup + 1)
        return self._peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, self._steps - warmup)))

    def step(self, step: int) -> None:
        """Apply the gathered gradients and clear them."""
        norm = torch.linalg.vector_norm(self.gradients)
        self.gradients *= torch.clamp(self._phase.clip_norm / (norm + 1e-6), max=1.0)
        for group in self._torch.param_groups:
            group["lr"] = self.learning_rate(step)
        self._torch.step()
        self.gradients.zero_()

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: the momentum of every parameter by its name."""
        return {
            name: self._torch.state[parameter]["momentum_buffer"]
            for name, parameter in self.parameters.items()
            if parameter in self._torch.state
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what ``state`` returned."""
        for name, buffer in state.items():
            parameter = self.parameters[name]
            self._torch.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)


def _in_a_row(parameters: list[nn.Parameter]) -> Tensor:
    """Zero gradients for all parameters, (numbers,), of which each parameter's ``grad`` is a part in its own layout."""
    row = torch.zeros(sum(parameter.numel() for parameter in parameters), device=parameters[0].device)
    begin = 0
    for parameter in parameters:
        parameter.grad = row.as_strided(parameter.shape, parameter.stride(), begin)
        begin += parameter.numel()
    return row


class Guard:
    """Stops a training whose loss is not finite, or that is worse than guessing (``chance_loss``) and stays so."""

    def __init__(self, chance_loss: float) -> None:
        self._worst = 1.5 * chance_loss + 0.5

    def check(self, mean_loss: float, *, epoch: int, learning_rate: float) -> None:
        """Hold the mean loss of an epoch's steps so far against what is possible.

        Raises:
            TrainingError: Training has diverged.
        """
        where = f"in epoch {epoch + 1} at a learning rate of {learning_rate:.3g}"
        if not math.isfinite(mean_loss):
            raise TrainingError(f"The training loss is no longer finite, {where}.", remedy=REMEDY)
        if epoch > 0 and mean_loss > self._worst:
            raise TrainingError(
                f"Training diverges: the loss is {mean_loss:.3g} {where}, worse than guessing.", remedy=REMEDY
            )
