#!/usr/bin/env python3
"""Are searched widths more accurate than others at the same measured latency?

    equal_latency.py run --data fashion_mnist.npz --name Fashion-MNIST --folder fashion --device ethos-u85-256
    equal_latency.py pilot fashion --passes 6 12 24 --seeds 6
    equal_latency.py page fashion --docs docs

``run`` measures a device, trains supernets, lets every method choose widths whose measured latency is that of a uniform
network, trains these from their supernet's weights, exports them as int8 and measures the files.
Two pieces of work are done at a time, each on one thread; the same command goes on where it stopped, and ``--hours``
ends it before. ``pilot`` tells, of uniform networks of the first supernet, what more passes of final training gain and
how seeds scatter: by it a protocol is planned. ``page`` writes the tables and pictures of what is done, here and by
what the page tells already: of one protocol several machines may train supernets, one after the other.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from page import write_page
from pilot import tell_pilot
from protocol import COMPARED, METHODS, Experiment, Protocol, load_data, recipe_text
from tasks import Task, all_tasks

from edgewidth.errors import EdgewidthError, InputError
from edgewidth.stages.claim import locked

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

POLL_S = 2.0
GRACE_S = 20.0
"""So long tasks may take to end when they are asked to: an emulated board shuts down."""


def run(options: argparse.Namespace) -> int:
    """Do what is not done yet, ``--workers`` tasks at a time; the folder is this program's meanwhile."""
    protocol = _protocol(options)
    if unknown := set(options.only_supernets or ()) - set(range(protocol.supernets)):
        raise InputError(f"There is no supernet {min(unknown)}: they are 0 to {protocol.supernets - 1}.")
    with locked(options.folder):
        return _run(Experiment.begin(options.folder, protocol), options)


def _run(experiment: Experiment, options: argparse.Namespace) -> int:
    ends = time.monotonic() + 3600 * options.hours
    running: dict[Task, subprocess.Popen[bytes]] = {}
    failed: set[str] = set()
    try:
        while time.monotonic() < ends:
            for task, process in list(running.items()):
                if process.poll() is not None:
                    del running[task]
                    failed |= {task.name} if process.returncode or not task.makes.exists() else set()
                    print(f"{task.name}: {'failed' if task.name in failed else 'done'}", file=sys.stderr, flush=True)
            tasks = all_tasks(experiment, options.only_supernets)
            ready = _ready(tasks, {*failed, *(task.name for task in running)})
            for task in ready[: options.workers - len(running)]:
                running[task] = _start(experiment, task)
            if not running:
                break
            time.sleep(POLL_S)
    finally:
        _end(running.values())
    return 1 if failed else 0


def _end(processes: Collection[subprocess.Popen[bytes]]) -> None:
    """End what is still at work, and wait for it: the next run would do it a second time beside it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it asks for is being done
    for process in processes:
        process.terminate()
    until = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stop(signum: int, _frame: object) -> None:
    """Leave through every ``finally``, which a signal alone does not."""
    sys.exit(128 + signum)


def _ready(tasks: Sequence[Task], taken: set[str]) -> list[Task]:
    return [
        task
        for task in tasks
        if task.name not in taken and not task.makes.exists() and all(path.exists() for path in task.needs)
    ]


def _start(experiment: Experiment, task: Task) -> subprocess.Popen[bytes]:
    log = experiment.folder / "logs" / f"{task.name}.log"
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "task", "--folder", str(experiment.folder), task.name]
    print(f"{task.name}: begins", file=sys.stderr, flush=True)
    with log.open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _protocol(options: argparse.Namespace) -> Protocol:
    data = load_data(str(options.data), resolution=options.resolution, first_images=options.images)
    return Protocol(
        name=options.name or options.data.stem,
        data=str(options.data),
        data_fingerprint=data.fingerprint,
        images=(len(data.train.targets), len(data.search.targets), len(data.holdout.targets), len(data.test.targets)),
        device=options.device,
        resolution=data.resolution,
        min_width=options.min_width,
        max_width=options.max_width,
        levels=options.levels,
        budgets=tuple(options.budgets),
        supernets=options.supernets,
        seeds=tuple(range(options.seeds)),
        passes=options.passes,
        recipe=recipe_text(trained=options.weights is not None),
        methods=tuple(options.methods),
        network=options.network,
        weights=str(options.weights) if options.weights else None,
        first_images=options.images,
    )


def do_task(options: argparse.Namespace) -> int:
    """One piece of work, by its name."""
    [task] = [task for task in all_tasks(Experiment.open(options.folder)) if task.name == options.task]
    # Locked on its own as well: it outlives a run that was killed without a chance to end it.
    with locked(options.folder / "tasks" / task.name):
        task.makes.parent.mkdir(parents=True, exist_ok=True)
        task.work()
    return 0


def pilot(options: argparse.Namespace) -> int:
    """What more passes gain, and how seeds scatter, on one uniform network of the first supernet."""
    with locked(options.folder / "pilot"):
        tell_pilot(Experiment.open(options.folder), options.share, options.passes, options.seeds)
    return 0


def page(options: argparse.Namespace) -> int:
    """The tables and pictures of what is done."""
    write_page([Experiment.open(folder) for folder in options.folders], options.docs)
    return 0


def main() -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("run", help="measure, train, choose")
    verb.set_defaults(act=run)
    verb.add_argument("--data", type=Path, required=True, help="what edgewidth takes")
    verb.add_argument("--name", help="what results call it; default: the file's name")
    verb.add_argument("--images", type=int, help="only so many training images, the first; default: all")
    verb.add_argument("--network", default="mobilenet_v1", help="the family whose channels are searched")
    verb.add_argument("--weights", type=Path, help="trained weights that supernets begin with; default: random ones")
    verb.add_argument("--folder", type=Path, required=True)
    verb.add_argument("--device", default="emulator-cortex-a72")
    verb.add_argument("--resolution", type=int)
    verb.add_argument("--min-width", type=float, default=0.05)
    verb.add_argument("--max-width", type=float, default=0.4)
    verb.add_argument("--levels", type=int, default=8, help="width multipliers in that range")
    shares = "shares of the largest network's latency"
    verb.add_argument("--budgets", type=float, nargs="+", default=[0.15, 0.25, 0.4], help=shares)
    verb.add_argument("--supernets", type=int, default=4, help="how many of them choose for every budget")
    elsewhere = "those of them, from 0, that are trained here, where other machines train the others; default: all"
    verb.add_argument("--only-supernets", type=int, nargs="+", metavar="N", help=elsewhere)
    verb.add_argument("--passes", type=int, default=24, help="of final training where rivals are trained")
    verb.add_argument("--methods", nargs="+", choices=METHODS, default=COMPARED)
    verb.add_argument("--seeds", type=int, default=1, help="final trainings of each choice")
    verb.add_argument("--workers", type=int, default=2)
    verb.add_argument("--hours", type=float, default=24.0)
    verb = verbs.add_parser("pilot", help="what passes gain and how seeds scatter")
    verb.set_defaults(act=pilot)
    verb.add_argument("folder", type=Path, help="of an experiment whose first supernet is trained")
    verb.add_argument("--share", type=float, default=0.25, help="the budget whose uniform network is trained")
    verb.add_argument("--passes", type=int, nargs="+", default=[6, 12, 24], help="with one seed each")
    verb.add_argument("--seeds", type=int, default=6, help="trained with the first number of passes")
    verb = verbs.add_parser("page", help="write the results")
    verb.set_defaults(act=page)
    verb.add_argument("folders", type=Path, nargs="*", help="default: only what the page tells already, once more")
    verb.add_argument("--docs", type=Path, default=Path("docs"))
    verb = verbs.add_parser("task", help="one piece of work, as run starts it")
    verb.set_defaults(act=do_task)
    verb.add_argument("--folder", type=Path, required=True)
    verb.add_argument("task")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        return int(options.act(options))
    except EdgewidthError as error:
        print(f"{error}\n{error.remedy or ''}".strip(), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
