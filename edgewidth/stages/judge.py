"""The stage that judges the choice, its runner-up and the baselines' choices, on images that no search has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.progress import SILENT, Progress
from edgewidth.records.judged import Judged, JudgedChoice
from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.training import IMAGES

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.records.search import SearchResult
    from edgewidth.stages.folder import RunFolder


def judge(data: ImageData, result: SearchResult, folder: RunFolder, *, progress: Progress = SILENT) -> Judged:
    """Evaluate the choices on the supernet in ``folder``, on the holdout images; writes ``judged.json``.

    The images that the search saw flatter what was chosen by them, the choice of greedy slimming most of all.

    Raises:
        FileError, MismatchError: The supernet is missing, or of another space.
    """
    from edgewidth.training.evaluation import Evaluator  # noqa: PLC0415  torch loads when it is needed
    from edgewidth.training.networks.layers import compute_device  # noqa: PLC0415
    from edgewidth.training.networks.weights import load_supernet  # noqa: PLC0415

    space = result.space
    runner_up = {"runner-up": result.runner_up} if result.runner_up else {}
    choices = {"chosen": result.chosen, **runner_up, **result.baselines}
    evaluator = Evaluator(load_supernet(folder.supernet, space).to(compute_device()), data, images="holdout")
    with progress.task("Judging the choices", len(choices) + 1) as task:
        losses = {}
        for config in dict.fromkeys((space.largest, *(choice.config for choice in choices.values()))):
            losses[config] = evaluator.losses(config)
            task.advance()
    maximum, chosen = losses[space.largest], losses[result.chosen.config]
    judged = []
    for method, choice in choices.items():
        behind = losses[choice.config] - chosen
        judged.append(
            JudgedChoice(
                method=method,
                config=choice.config,
                predicted_loss=choice.predicted_loss,
                excess_loss=float((losses[choice.config] - maximum).mean()),
                behind=float(behind.mean()),
                behind_error=float(behind.std() / len(behind) ** 0.5),
            )
        )
    inputs = {"supernet": file_digest(folder.supernet), "search": result.digest, IMAGES: data.fingerprint}
    document = Judged(
        provenance=Provenance(inputs=inputs),
        space=space,
        images=evaluator.images,
        max_loss=float(maximum.mean()),
        choices=tuple(judged),
    )
    document.write(folder.judged)
    return document
