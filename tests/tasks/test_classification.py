"""Classification says, learns and counts what its name promises, by torch's and NumPy's own words for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgewidth.errors import DataError, FileError
from edgewidth.tasks.classification.labels import read_labels
from edgewidth.tasks.classification.task import Classification
from edgewidth.tasks.registry import find_task

TASK = Classification(("cat", "dog", "emu"))
LOGITS = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 3


def test_a_document_tells_which_task_it_is() -> None:
    """By its name and its classes; a name of a newer edgewidth is refused."""
    assert find_task("classification", ("cat", "dog", "emu")) == TASK
    with pytest.raises(FileError, match="the task 'telepathy'"):
        find_task("telepathy", ("yes", "no"))


def test_label_smoothing_is_torchs() -> None:
    """The loss with smoothed probabilities is cross entropy's own option."""
    objective = TASK.objective()
    ours = objective.loss(LOGITS, objective.target(LABELS, smoothing=0.2))
    assert float(ours) == pytest.approx(float(functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.2)))


def test_losses_are_negative_log_likelihoods() -> None:
    """Example by example, and their mean."""
    objective, probabilities = TASK.objective(), LOGITS.softmax(1).numpy()
    expected = [-math.log(probabilities[i, i % 3]) for i in range(16)]
    assert objective.losses(LOGITS, LABELS).tolist() == pytest.approx(expected, rel=1e-5)
    assert float(objective.loss(LOGITS, LABELS)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_student_that_answers_like_its_teacher_is_at_the_least_loss() -> None:
    """The gradient of distillation vanishes there, and nowhere near."""
    objective = TASK.objective()
    target = objective.taught(LOGITS)
    for shift, vanishes in ((0.0, True), (0.5, False)):
        student = (LOGITS + torch.tensor([shift, 0.0, 0.0])).requires_grad_()
        torch.autograd.backward(objective.loss(student, target))
        assert student.grad is not None
        assert bool(student.grad.abs().max() < 1e-6) == vanishes


def test_a_network_that_knows_nothing_has_the_loss_of_chance() -> None:
    """Equal logits, whatever the labels."""
    assert float(TASK.objective().loss(torch.zeros(16, 3), LABELS)) == pytest.approx(TASK.chance_loss)


def test_scores_are_counted() -> None:
    """Three of four are right; two networks agree on two of four."""
    outputs = np.array([[2, 1, 0], [0, 1, 0], [0, 0, 5], [1, 0, 0]], np.float32)
    others = np.array([[2, 1, 0], [3, 1, 0], [0, 0, 5], [0, 0, 1]], np.float32)
    assert TASK.score(outputs, np.array([0, 1, 2, 2])) == 75
    assert TASK.agreement(outputs, others) == 50
    assert TASK.result(75.0) == "classifies 75.00 % of the test images correctly"


def test_intervals_are_wilsons() -> None:
    """By his formula (1927)."""
    share, images, z = 0.9, 200, 1.959963984540054
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    assert TASK.interval(90.0, images) == pytest.approx((100 * (middle - half), 100 * (middle + half)))


def test_labels_become_indices_of_the_classes() -> None:
    """Labels may be any whole numbers, in a column too; names come along where there is one for each."""
    arrays = {"y_train": np.array([[5], [3], [5]]), "y_test": np.array([3, 5], np.uint8)}
    labels = read_labels("here", arrays)
    assert labels.train.tolist() == [1, 0, 1]
    assert labels.test.tolist() == [0, 1]
    assert labels.task == Classification(("3", "5"))
    named = read_labels("here", arrays | {"class_names": np.array(list("abcdef"))})
    assert named.task.output_names == ("d", "f")
    with pytest.raises(DataError, match="y_test has the label 4, which y_train lacks"):
        read_labels("here", arrays | {"y_test": np.array([4])})


def test_the_labels_file_names_a_class_on_every_line() -> None:
    """In UTF-8, in the order of the logits."""
    assert Classification(("čáp", "dog")).companions() == {"labels.txt": "čáp\ndog\n".encode()}


def test_the_names_of_companions_are_those_of_their_contents() -> None:
    """A run removes by the names what an earlier one wrote as contents."""
    assert tuple(TASK.companions()) == TASK.companion_names
