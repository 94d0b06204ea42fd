"""What each of two processes does in ``test_processes.py``: train, be killed, go on, evaluate, race, finetune."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from small_table import small_table
from small_training import KillAfter, Killed, small_data, small_recipe, small_space, supernet_files

from edgewidth.graph.space import ChannelConfig
from edgewidth.records.budget import Budget
from edgewidth.stages import rivals as stage
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.rivals import learn_from_rivals
from edgewidth.training.evaluation import evaluate_losses
from edgewidth.training.finetune import finetune_network
from edgewidth.training.loop import loop
from edgewidth.training.loop.loop import make_batches
from edgewidth.training.loop.optimise import Optimiser
from edgewidth.training.loop.processes import join
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.train import Sandwich, sandwich_step, train_supernet

if TYPE_CHECKING:
    from edgewidth.training.loop.processes import Processes

SPACE = small_space()
DATA = small_data()


def first_gradients(processes: Processes) -> torch.Tensor:
    """Of one process's share of the first batch, (numbers,); the mean over processes is still to be taken."""
    phase = small_recipe().supernet
    supernet = Supernet(SPACE)
    batches = make_batches(DATA, phase, seed=0, device=torch.device("cpu"), processes=processes)
    optimiser = Optimiser(supernet, phase, batch=batches.size, steps=10)
    others = (ChannelConfig((8, 12)), ChannelConfig((12, 4)))
    sandwich = Sandwich(SPACE.largest, others, SPACE.smallest)
    sandwich_step(supernet, DATA.task.objective(), batches[0], sandwich, processes)
    return optimiser.gradients


def main(out: Path) -> None:
    """Write to ``out`` what the two do together, and what each has seen to a file of its own."""
    processes = join()
    gradients = first_gradients(processes)
    processes.average(gradients)
    whole, broken = RunFolder(out), RunFolder(out / "broken")
    train_supernet(SPACE, DATA, small_recipe(), seed=0, **supernet_files(whole))
    loop.CHECKPOINT_SECONDS = loop.SHORTEST_SECONDS = 0.0
    try:
        train_supernet(SPACE, DATA, small_recipe(), seed=0, progress=KillAfter(9), **supernet_files(broken))
    except Killed:
        processes.wait()
    resumed = KillAfter()
    train_supernet(SPACE, DATA, small_recipe(), seed=0, progress=resumed, **supernet_files(broken))
    losses = evaluate_losses(SPACE, DATA, supernet=whole.supernet, evaluations=whole.evaluations, seed=0, most=8)
    stage.FEWEST_STEPS = 8  # small data has few
    recipe = replace(small_recipe(), finetune=replace(small_recipe().finetune, passes=40))
    budget = Budget(latency_ms=0.11)
    learned = learn_from_rivals(small_table(SPACE), losses, budget, DATA, recipe, whole, share=1.0, seed=0)
    network = finetune_network(
        SPACE,
        ChannelConfig((8, 12)),
        DATA,
        small_recipe(),
        supernet=whole.supernet,
        weights_out=whole.weights,
        log=whole.finetune_log,
        checkpoints=whole.checkpoints,
        seed=0,
    )
    seen = {
        "processes": processes.count,
        "goes_on_from": resumed.goes_on_from,
        "gradients": gradients.tolist(),
        "losses": losses.model_dump(mode="json"),
        "rivals": [rival.model_dump(mode="json") for rival in learned.rivals.rivals] if learned.rivals else [],
        "weights": sum(float(parameter.double().sum()) for parameter in network.parameters()),
    }
    (out / f"seen-{processes.index}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
