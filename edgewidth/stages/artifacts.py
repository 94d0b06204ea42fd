"""The deployable files of a trained network: made, chosen, held against the network, and written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.files import write_atomic
from edgewidth.formats.artifacts import ArtifactMaker
from edgewidth.formats.registry import FORMATS
from edgewidth.progress import SILENT
from edgewidth.records.artifact import Artifacts, model_name
from edgewidth.records.measurement import Precision
from edgewidth.stages.int8 import choose_int8, quantisation_warnings
from edgewidth.stages.ledger import remove
from edgewidth.stages.parity import evaluate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgewidth.data.pixels import Inputs
    from edgewidth.formats.artifacts import Files
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.records.artifact import Artifact
    from edgewidth.records.weights import FoldedWeights
    from edgewidth.stages.folder import RunFolder
    from edgewidth.stages.parity import Truth


class Int8Network(NamedTuple):
    """A network trained on for int8: its folded weights, and its outputs for the test images (n, outputs)."""

    weights: FoldedWeights
    outputs: NDArray[np.float32]


def export_artifacts(
    space: SearchSpace,
    config: ChannelConfig,
    weights: FoldedWeights,
    *,
    int8_weights: FoldedWeights,
    calibration: Inputs,
    test: Truth,
    search: Truth,
    max_int8_drop_points: float,
    train_int8: Callable[[], Int8Network],
    precision: Precision = Precision.INT8,
    folder: RunFolder,
    progress: Progress = SILENT,
) -> Artifacts:
    """Write files of every format, int8 and float32, and the task's companions; run each on all test images.

    Where the network was chosen for another ``precision``, there are files of that too.

    Where an int8 file is less accurate than the network by more than ``max_int8_drop_points``, the network is trained
    on for int8, and each int8 file is made of the weights with which it is more accurate. Both are decided on the
    search images, so that accuracies on the test images are of files that were not chosen by them.

    ``weights`` are trained, with batch normalisation folded, and ``int8_weights`` the same with biases that suit int8;
    ``calibration`` are images or features (n, height, width,
    channels) of the training data. The caller stores what is returned as ``artifacts.json``.

    Raises:
        ParityError: A float32 or float16 file does not compute what the network computes; nothing is written then.
        MismatchError: The weights are not of this configuration.
        DataError: Images, targets, outputs and the task do not fit each other.
        MissingPackageError, SurroundingsError: The conversion failed.
        StorageError: A file cannot be written.
    """
    for name, truth in (("test", test), ("search", search)):
        truth.check(name, space.network.outputs)
    maker = ArtifactMaker(space, config, calibration, test.task, progress)
    files = maker.files(
        weights, *(one for one in Precision if one in {Precision.FLOAT32, precision} - {Precision.INT8})
    )
    # First, since a network that is converted wrongly need not be trained.
    artifacts = [evaluate(model_name(*key), content, test, progress) for key, content in files.items()]
    trained = cache(train_int8)

    def retrain() -> Files:
        return maker.files(trained().weights, Precision.INT8)

    plain = maker.files(int8_weights, Precision.INT8)
    chosen = choose_int8(plain, search, max_int8_drop_points, retrain, progress)
    for key, choice in chosen.items():
        truth = test._replace(outputs=trained().outputs) if choice.accuracy.is_trained else test
        artifacts.append(evaluate(model_name(*key), choice.content, truth, progress, int8=choice.accuracy))
    files |= {key: choice.content for key, choice in chosen.items()}
    models = {model_name(*key): content for key, content in files.items()}
    remove(folder.artifacts)  # it tells of files that are replaced now
    for name, content in {**models, **test.task.companions()}.items():
        write_atomic(folder.path / name, content)
    return Artifacts(
        space=space,
        config=config,
        reference_accuracy_percent=test.accuracy_percent,
        max_int8_drop_points=max_int8_drop_points,
        artifacts=tuple(sorted(artifacts, key=_place)),
        warnings=quantisation_warnings(artifacts, max_int8_drop_points),
    )


def _place(artifact: Artifact) -> tuple[int, int]:
    """Where a file stands in a list: formats in their order, and of each the precisions in theirs."""
    return list(FORMATS).index(artifact.format), list(Precision).index(artifact.precision)
