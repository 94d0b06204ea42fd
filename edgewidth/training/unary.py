"""The evaluation phase: many configurations of a trained supernet meet the same images.

That every configuration is judged by the same images, with statistics of batch normalisation from the same
training images, and that the maximum network's loss on them is subtracted, removes most of the noise.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from edgewidth.progress import SILENT
from edgewidth.records.files import write_atomic
from edgewidth.records.network import ChannelConfig
from edgewidth.training.inference import batch_size, fold_tensors, folded_logits, measure_moments
from edgewidth.training.layers import compute_device
from edgewidth.training.loss_fit import Evaluations, fit_losses
from edgewidth.training.weights import load_supernet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgewidth.progress import Progress
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.network import SearchSpace
    from edgewidth.search.field import RandomField
    from edgewidth.training.data import ImageData
    from edgewidth.training.supernet import Supernet

SEARCH_IMAGES = 1000
"""How many of the search images every configuration meets, at most."""
MOMENT_IMAGES = 256
"""On how many training images each configuration's statistics are computed."""
HELD_OUT_EVERY = 5
"""Every fifth configuration is held out of the fit and judges it."""
NEAREST = 0.25
"""How far, in steps of the whole range, widths of a configuration drawn near a uniform one lie from it."""


def evaluate_losses(
    space: SearchSpace,
    data: ImageData,
    *,
    folder: RunFolder,
    seed: int,
    progress: Progress = SILENT,
    count: int = 120,
    focus: RandomField | None = None,
) -> UnaryLosses:
    """Evaluate ``count`` configurations of the supernet in ``folder`` and fit the unary losses.

    With a field half of them are drawn from it: what a search will ask for should be among what is known.

    Every evaluation is kept in the folder's checkpoints as it comes, and not repeated after an interruption.

    Raises:
        FileError: There is no supernet, or it cannot be read.
        MismatchError: The supernet is of another space.
        StorageError: A file cannot be written.
    """
    supernet = load_supernet(folder.supernet, space).to(compute_device())
    evaluator = Evaluator(supernet, data)
    configs = list(evaluation_configs(space, count, np.random.default_rng([seed, 2]), focus=focus))
    identity = "\n".join([_sha256(folder.supernet), data.fingerprint, str(evaluator.images), str(seed)])
    kept = _Kept(folder.checkpoints / "evaluations.jsonl", hashlib.sha256(identity.encode()).hexdigest()[:16])
    losses = kept.losses
    with progress.task("Evaluating configurations", count + 1) as task:
        for config in (space.largest, *configs):
            if config not in losses:
                losses[config] = evaluator.loss(config)
                kept.write()
            task.advance()
    return fit_evaluations(space, data, evaluator.images, configs, losses)


def fit_evaluations(
    space: SearchSpace, data: ImageData, images: int, configs: list[ChannelConfig], losses: dict[ChannelConfig, float]
) -> UnaryLosses:
    """The unary losses of evaluated configurations, some held out; ``losses`` has the maximum network's as well."""
    max_loss = losses[space.largest]
    excess = np.array([losses[config] - max_loss for config in configs])
    held_out = np.arange(len(configs)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    parts = [
        Evaluations([config for config, mine in zip(configs, mask, strict=True) if mine], excess[mask])
        for mask in (~held_out, held_out)
    ]
    return fit_losses(space, parts[0], parts[1], data_fingerprint=data.fingerprint, images=images, max_loss=max_loss)


class Evaluator:
    """The loss of any configuration of a supernet on the same search images."""

    def __init__(self, supernet: Supernet, data: ImageData, *, seed: int = 0) -> None:
        device = next(supernet.parameters()).device
        rng = np.random.default_rng([seed, 3])
        training = rng.permutation(len(data.y_train))[:MOMENT_IMAGES]
        search = rng.permutation(len(data.y_search))[:SEARCH_IMAGES]
        self._supernet = supernet
        self._moment_images = torch.from_numpy(data.x_train[training]).to(device)
        self._search_images = torch.from_numpy(data.x_search[search]).to(device)
        self._labels = torch.from_numpy(data.y_search[search]).to(device)

    @property
    def images(self) -> int:
        """How many images every configuration meets."""
        return len(self._labels)

    @torch.no_grad()
    def loss(self, config: ChannelConfig) -> float:
        """Mean cross entropy (nats per image), with this configuration's own statistics."""
        space = self._supernet.space
        size = batch_size(space.network, space.widths(config))
        moments = measure_moments(lambda x, found: self._supernet(x, config, found), self._moment_images, batch=size)
        weights = fold_tensors(self._supernet.layers, moments)
        parts = [folded_logits(space.network, weights, part) for part in torch.split(self._search_images, size)]
        return float(functional.cross_entropy(torch.cat(parts), self._labels))


def evaluation_configs(
    space: SearchSpace, count: int, rng: np.random.Generator, *, focus: RandomField | None = None
) -> Iterator[ChannelConfig]:
    """Distinct configurations to evaluate: by turns drawn uniformly, and near a uniform width multiplier.

    Uniform draws are all of middling size; the others reach the narrow and the wide end. With a ``focus`` every
    other one is drawn from that.
    """
    seen: set[ChannelConfig] = {space.largest}
    for attempt in range(50 * count):
        if focus is not None and attempt % 4 >= 2:
            config = space.config(focus.sample(1, rng)[0])
        else:
            config = space.sample(rng) if attempt % 2 else _near_uniform(space, rng)
        if config not in seen:
            seen.add(config)
            yield config
        if len(seen) > count:
            return


def _near_uniform(space: SearchSpace, rng: np.random.Generator) -> ChannelConfig:
    centre = rng.random()
    places = np.clip(centre + NEAREST * rng.uniform(-1, 1, len(space.variables)), 0, 1)
    return space.config([round(place * (len(v.choices) - 1)) for place, v in zip(places, space.variables, strict=True)])


class _Kept:
    """Evaluated losses in a file, so that none is computed twice."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = identity
        self.losses: dict[ChannelConfig, float] = {}
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError):
            return
        if lines and lines[0] == {"identity": identity}:
            self.losses = {ChannelConfig.parse(line["config"]): line["loss"] for line in lines[1:]}

    def write(self) -> None:
        """Write all that is known."""
        lines: list[dict[str, str | float]] = [{"identity": self._identity}]
        lines += [{"config": str(config), "loss": loss} for config, loss in self.losses.items()]
        write_atomic(self._path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
