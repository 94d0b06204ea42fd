"""What final training is made of, each held against torch's own or a closed formula."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from small_training import small_data, small_recipe, small_space
from torch.nn import functional

from edgewidth.data.augmentation import Augmentation
from edgewidth.data.pixels import normalise_tensor
from edgewidth.streams import Purpose, stream
from edgewidth.training.finetune import largest_as_teacher
from edgewidth.training.loop.loop import LOSS, Averager, make_batches
from edgewidth.training.loop.optimise import Optimiser
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.layers import training_dtype
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.supernet import Moments, Supernet
from edgewidth.training.ordinary import _mixed, _step, finish

if TYPE_CHECKING:
    from edgewidth.data.batches import Batch
    from edgewidth.training.recipes import Phase

SPACE, DATA = small_space(), small_data()
PHASE = small_recipe().finetune


def _batch(phase: Phase = PHASE) -> Batch:
    return make_batches(DATA, replace(phase, batch=16), seed=0, device=torch.device("cpu"), dtype=torch.float32)[0]


def test_the_learning_rate_rises_and_falls_along_half_a_cosine() -> None:
    """As torch's own schedules chained; scaled by the batch over 256."""
    network = PlainNetwork(SPACE, SPACE.smallest)
    phase = replace(PHASE, learning_rate=0.8, warmup=0.1)
    optimiser = Optimiser(network, phase, batch=64, steps=100)
    reference = torch.optim.SGD(network.parameters(), lr=0.2)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=90)
    for step in range(100):
        if step < 10:
            expected = 0.2 * (step + 1) / 11
        else:
            expected = float(cosine.get_last_lr()[0])
            reference.step()
            cosine.step()
        assert optimiser.learning_rate(step) == pytest.approx(expected)


def test_the_teacher_is_the_largest_network_as_it_would_be_exported() -> None:
    """With statistics of training images as they are varied, whatever else it sees: one image alone answers alike."""
    supernet, phase = (
        Supernet(SPACE, seed=4),
        replace(PHASE, batch=len(DATA.train), augmentation=Augmentation(shift=0.3)),
    )
    batches = make_batches(DATA, phase, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    teacher = largest_as_teacher(supernet, batches)
    largest, found = PlainNetwork.from_supernet(supernet, SPACE.largest), dict[str, Moments]()
    images = normalise_tensor(torch.from_numpy(DATA.search.images), training_dtype(torch.device("cpu")))
    finish(largest, DATA, seed=0)
    with_plain = torch.from_numpy(network_outputs(largest, DATA.search.images))
    with torch.no_grad():
        largest(batches[0].images, found)
        largest.set_moments(found)
        expected = torch.from_numpy(network_outputs(largest, DATA.search.images))
        close = 0.02 * float(expected.std())
        assert float((with_plain - expected).abs().max()) > 3 * close
        torch.testing.assert_close(teacher(images), expected, rtol=0.02, atol=close)
        torch.testing.assert_close(teacher(images[:1]), expected[:1], rtol=0.02, atol=close)


def test_weight_decay_spares_normalisation_and_biases() -> None:
    """Without gradients a step shrinks the kernels by the same share, and leaves everything else."""
    network = PlainNetwork(SPACE, SPACE.smallest)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    phase = replace(PHASE, weight_decay=0.1, momentum=0.0, warmup=0.0)
    # torch's Nesterov wants momentum; a first step with it moves by (1 + momentum) times as much.
    optimiser = Optimiser(network, replace(phase, momentum=0.5), batch=256, steps=10)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step(0)
    shrink = 1 - 1.5 * 0.1 * optimiser.learning_rate(0)
    assert {name.rpartition(".")[2] for name in before} == {"kernel", "scale", "shift"}
    for name, parameter in network.named_parameters():
        expected = before[name] * shrink if name.endswith("kernel") else before[name]
        torch.testing.assert_close(parameter.detach(), expected)


def test_mixup_mixes_images_and_labels_alike() -> None:
    """Image by image, with the one on the other end of the batch."""
    batch, objective = _batch(), DATA.task.objective()
    images, target = _mixed(objective, batch.images, objective.target(batch.targets, smoothing=0.0), 0.7)
    for i in range(16):
        j = 15 - i
        torch.testing.assert_close(images[i], 0.7 * batch.images[i] + 0.3 * batch.images[j])
        expected = torch.zeros(3)
        expected[batch.targets[i]] += 0.7
        expected[batch.targets[j]] += 0.3
        torch.testing.assert_close(target[i], expected)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_distillation_is_a_mean_of_two_losses(mixup: float) -> None:
    """Cross entropy with the labels and with the maximum network's answer to the very same, mixed images."""
    phase = replace(PHASE, distillation=0.3, label_smoothing=0.1, augmentation=Augmentation(mixup=mixup))
    supernet = Supernet(SPACE, seed=1)
    network = PlainNetwork.from_supernet(supernet, SPACE.smallest)
    batch = _batch(phase)
    step = _step(network, DATA.task.objective(), phase, 5, lambda images: supernet(images, SPACE.largest))
    loss = float(step(2, batch)[LOSS].detach())
    share = float(stream(5, Purpose.MIXING, 2).beta(mixup, mixup)) if mixup else 1.0
    images = share * batch.images + (1 - share) * batch.images.flip(0)
    with torch.no_grad():
        answer = network(images)
        soft = supernet(images, SPACE.largest).softmax(1)
    hard = share * functional.cross_entropy(answer, batch.targets, label_smoothing=0.1) + (
        1 - share
    ) * functional.cross_entropy(answer, batch.targets.flip(0), label_smoothing=0.1)
    distilled = -(soft * answer.log_softmax(1)).sum(1).mean()
    assert loss == pytest.approx(float(0.7 * hard + 0.3 * distilled), rel=1e-5)
    assert all(parameter.grad is None for parameter in supernet.parameters())
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_averaging_is_exponential() -> None:
    """Over four steps the weights count by 3/4 to the power of their age."""
    layer = torch.nn.Linear(1, 1, bias=False)
    values = [1.0, 5.0, -2.0, 4.0]
    layer.weight.data.fill_(values[0])
    averager = Averager(layer, 4)
    for value in values[1:]:
        layer.weight.data.fill_(value)
        averager.update()
    averager.apply()
    expected = values[0] * 0.75**3 + sum(0.25 * 0.75 ** (3 - i) * values[i] for i in (1, 2, 3))
    assert math.isclose(float(layer.weight.detach()), expected, rel_tol=1e-6)
