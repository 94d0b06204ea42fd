#!/usr/bin/env python3
"""A thousand bad or hostile inputs, made from seeds: does edgewidth end well on each of them?

Models, images, arrays, profiles, the documents of a run folder, the store, weights, what runners and benchmark
programs print, and command lines are flipped, cut and mutated (``bad_cases.py``); each is given to the command line in
a process of its own. It must end with 0, 1, 2 or 3 and, where it refuses, one message.

tried       cases
tracebacks  that showed one
crashes     that a signal ended, or that ended with another code
hangs       that took longer than the limit
exit_70     that were told to be a defect of edgewidth
too_long    whose message has more than three lines
escaped     that wrote outside --out and the cache, or ran something that stood in the data

What ended badly is kept in ``--folder`` with its command and all that it printed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from bad_cases import CANARY, KINDS, Originals

if TYPE_CHECKING:
    from bad_cases import Case

LIMIT_S = 60.0
LIMIT_BYTES = 3 << 30
BAD = ("tracebacks", "crashes", "hangs", "exit_70", "too_long", "escaped")
MOST_LINES = 3
BESIDE = (Path.cwd(), Path(tempfile.gettempdir()), Path("/"))
"""Where else a name that climbs out of its folder might lead."""
OWN = ("out", "cache", "told")
"""What a case may write below its folder; ``told`` is this program's own."""


class Ended(NamedTuple):
    """How a case ended: its exit status, or None if it had to be killed, and what it printed on standard error."""

    status: int | None
    told: str


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """The size and the time of change of every file that a case may not touch."""
    found = {}
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if inside.parts[0] not in OWN:
            with suppress(OSError):
                status = path.lstat()
                found[str(inside)] = (status.st_size, 0 if path.is_dir() else status.st_mtime_ns)
    return found


def run_case(case: Case, folder: Path) -> NoReturn:
    """In the child: the command line, with the folder as the whole world that it may know."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in ("home", "tmp", "cache", "out"):
        (folder / name).mkdir(exist_ok=True)
    os.chdir(folder / "work")
    os.environ.update(
        HOME=str(folder / "home"), TMPDIR=str(folder / "tmp"), EDGEWIDTH_CACHE=str(folder / "cache"), COLUMNS="100"
    )
    tempfile.tempdir = None
    for number in (1, 2):
        os.dup2(os.open(folder / f"told-{number}", os.O_CREAT | os.O_WRONLY), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = 70
    try:
        case.prepare()
        from edgewidth.cli.main import main  # noqa: PLC0415  imported by the parent, before it forked

        main(case.words)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 70
    except BaseException:  # noqa: BLE001 - shown as a user would see it, and then counted
        import traceback  # noqa: PLC0415  only here

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def end_of(case: Case, folder: Path, limit_s: float) -> Ended:
    """Run a case in a forked process, and wait for it and for all that it started."""
    child = os.fork()
    if child == 0:
        run_case(case, folder)
    deadline, status = time.monotonic() + limit_s, None
    while status is None and time.monotonic() < deadline:
        ended, code = os.waitpid(child, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(code)
        else:
            time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    told = folder / "told-2"
    return Ended(status, told.read_text(encoding="utf-8", errors="replace") if told.exists() else "")


def faults_of(ended: Ended, before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    """What of ``BAD`` a case did."""
    found = []
    if "Traceback (most recent call last)" in ended.told:
        found.append("tracebacks")
    if ended.status is None:
        found.append("hangs")
    elif ended.status == 70:
        found.append("exit_70")
    elif ended.status not in {0, 1, 2, 3}:
        found.append("crashes")
    message = re.split(r"^Error: ", ended.told, maxsplit=1, flags=re.MULTILINE)
    if len(message) == 2 and len(message[1].strip().splitlines()) > MOST_LINES:
        found.append("too_long")
    if ended.status in {2, 3} and len(message) < 2:
        found.append("crashes")  # without a word
    if before != after or any((parent / CANARY).exists() for parent in BESIDE):
        found.append("escaped")
    return found


def try_one(originals: Originals, kinds: list[str], limit_s: float, kept: Path, seed: int) -> tuple[str, list[str]]:
    """Make the case of a seed, run it, judge it; its kind and what it did badly. Bad ones stay in ``kept``."""
    rng = random.Random(seed)
    kind = kinds[seed % len(kinds)]
    folder = Path(tempfile.mkdtemp(prefix="edgewidth-bad-"))
    (folder / "work").mkdir()
    case = KINDS[kind](rng, folder, originals)
    before = contents(folder)
    ended = end_of(case, folder, limit_s)
    faults = faults_of(ended, before, {key: value for key, value in contents(folder).items() if key not in MADE})
    if faults:
        (folder / "told").write_text(f"{shlex.join(case.words)}\n{faults}\n{ended}\n", encoding="utf-8")
        shutil.move(folder, kept / f"{kind.replace(' ', '-')}-{seed}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return kind, faults


MADE = {"home", "tmp", "told-1", "told-2"}
"""What a case's process is given when it begins, empty."""


def bad_inputs(count: int, seed: int, kinds: list[str], limit_s: float, kept: Path) -> dict[str, Any]:
    """Try so many cases, on every processor; the numbers."""
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgewidth-good-") as folder:
        originals = Originals(Path(folder))
        tally, by_kind, last = Counter[str](), Counter[str](), time.monotonic()
        seeds = range(1_000_000 * seed, 1_000_000 * seed + count)
        one = partial(try_one, originals, kinds, limit_s, kept)
        with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
            for number, (kind, faults) in enumerate(pool.imap_unordered(one, seeds), start=1):
                by_kind[kind] += 1
                tally.update(faults)
                for fault in faults:
                    print(f"{kind}: {fault}", file=sys.stderr)
                if time.monotonic() - last > 30:
                    last = time.monotonic()
                    print(f"{number} of {count}: {dict(tally)}", file=sys.stderr)
    return {"tried": by_kind.total(), **{name: tally[name] for name in BAD}, "by_kind": dict(by_kind)}


def main() -> int:
    """Try, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds that a case may take")
    parser.add_argument("--folder", type=Path, default=Path("bad-inputs"), help="where bad cases are kept")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    result = bad_inputs(options.count, options.seed, options.kinds, options.limit, options.folder.resolve())
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))
    return int(any(result[name] for name in BAD))


if __name__ == "__main__":
    sys.exit(main())
