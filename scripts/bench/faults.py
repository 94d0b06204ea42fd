#!/usr/bin/env python3
"""What happens to measurements when things break: a thousand faults, alone and together.

Most strike campaigns on the fake device, whose visits take no time, at random moments: the program is killed with
signal 9, the link is cut or loses answers, the device reboots and forgets its files, the disk of the host or of the
device fills up, the output turns to garbage, the clock steps, the power fails and takes the store's last writes, two
programs meet, the migration of an old store is broken off, documents are half written. Others strike over real links:
this machine's own processes, SSH, ADB and the emulated board, as far as these are installed. Where the program stops
with an error it is called again, as a person would.

injected    faults that took place
by_kind     of each kind
lost        visits that were stored and are gone or changed, visits that are missing in the end, documents that are
            neither old nor new
doubled     visits that are stored twice, or were made twice in one session; programs that were in one folder together
hung        calls that did not end in their time
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from fault_campaigns import (
    Break,
    Found,
    HungError,
    campaign,
    fake_place,
    old_store,
    real_place,
    side_by_side,
    torn,
)

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # a real SSH server, a phone's daemon, an old store

from devices.adb_daemon import AdbDaemon
from loopback_sshd import sshd

from edgewidth.devices.device import Device
from edgewidth.devices.measure.policy import default_policy
from edgewidth.devices.profiles import DeviceProfile, load_profile
from edgewidth.devices.reach.adb_client import AdbClient
from edgewidth.devices.reach.ssh import SshTransport
from edgewidth.errors import EdgewidthError
from edgewidth.files import remove_parts, write_atomic
from edgewidth.records.measurement import Clock, Runtime
from edgewidth.stages.claim import locked

OLD_STORE = Path(__file__).parents[2] / "tests" / "version_1" / "measurements.sqlite"
SINGLE = ("kill", "cut", "answers lost", "reboot", "garbage", "host disk", "device disk", "clock")
MOMENTS = 160
"""About so many moments an undisturbed campaign on the fake device has."""

Kind = Callable[[random.Random, Path], Found]


def breaks_of(rng: random.Random, kinds: tuple[str, ...], moments: int = MOMENTS) -> list[Break]:
    """One break of each kind, close to each other, so that some meet."""
    first = rng.randrange(1, moments)
    return [Break(kind, first + rng.choice([0, 1, 2, 5, 20]), rng.randint(1, 4)) for kind in kinds]


def alone(kind: str, rng: random.Random, folder: Path) -> Found:
    """One break in each of one to three calls."""
    calls = [breaks_of(rng, (kind,)) for _ in range(rng.randint(1, 3))]
    return campaign(fake_place(folder, rng.randrange(1000)), calls)


def together(rng: random.Random, folder: Path) -> Found:
    """Two or three of different kinds at nearly the same time, and again in the next call."""
    calls = [breaks_of(rng, tuple(rng.sample(SINGLE, rng.randint(2, 3)))) for _ in range(2)]
    return campaign(fake_place(folder, rng.randrange(1000)), calls)


def power_cut(rng: random.Random, folder: Path) -> Found:
    """Killed, and the last page of what was written is torn."""
    calls = [breaks_of(rng, ("kill",)) for _ in range(2)]
    return campaign(fake_place(folder, rng.randrange(1000)), calls, torn)


def two_hosts(rng: random.Random, folder: Path) -> Found:
    """Two hosts, with stores of their own, on one device at the same time."""
    first = fake_place(folder / "a", rng.randrange(1000))
    second = fake_place(folder / "b", rng.randrange(1000))
    for place in (first, second):
        place.folder.mkdir()
    (folder / "device").mkdir()
    for place in (first, second):
        (place.folder / "device").symlink_to(folder / "device")
    return side_by_side([first, second], breaks_of(rng, (rng.choice(["kill", "cut"]),)))


def two_programs(rng: random.Random, folder: Path) -> Found:
    """Two programs that share a store and a device: one of them is told to wait."""
    place = fake_place(folder, rng.randrange(1000))
    return side_by_side([place, place], breaks_of(rng, (rng.choice(["kill", "cut"]),)))


def migration(rng: random.Random, folder: Path) -> Found:
    """A store of the first version; what makes it today's is broken off, or the disk is full meanwhile."""
    place = fake_place(folder, 0)
    if rng.random() < 0.5:
        return old_store(place, OLD_STORE, [], rng.randrange(20_000))
    return old_store(place, OLD_STORE, [Break("kill", rng.randrange(1, 25), 1)], None)


CALLS_OF_A_WRITE = ("open", "fdopen", "fsync", "replace", "mkdir")


def document(rng: random.Random, folder: Path) -> Found:
    """A document is written anew and again, and the program killed, or the disk full, at one of the system's calls."""
    path, contents = folder / "table.json", [bytes([65 + i]) * rng.randrange(1, 50_000) for i in range(3)]
    write_atomic(path, contents[0])
    at, full = rng.randrange(10), rng.random() < 0.5
    child = os.fork()
    if child == 0:
        count = 0

        def struck(inner: Callable[..., Any], *words: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count > at:
                if full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.kill(os.getpid(), signal.SIGKILL)
            return inner(*words, **options)

        for name in CALLS_OF_A_WRITE:
            setattr(os, name, partial(struck, getattr(os, name)))
        for content in contents[1:]:
            with suppress(EdgewidthError):
                write_atomic(path, content)
        os._exit(int(count > at))
    injected = int(os.waitpid(child, 0)[1] != 0)
    lost = path.read_bytes() not in contents
    remove_parts(folder)
    return Found(injected, int(lost) + len([each for each in folder.iterdir() if each != path]), 0)


def run_folder(rng: random.Random, folder: Path) -> Found:
    """Four programs want one run folder again and again, some are killed in it: there is never more than one inside."""
    inside = folder / "inside"
    children = []
    for number in range(4):
        killed = 0.02 if number % 2 else 0.0
        own = random.Random(rng.randrange(2**32))
        child = os.fork()
        if child == 0:
            status = 70
            with suppress(BaseException):
                status = enter_often(folder / "run", inside, own, killed)
            os._exit(status)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return Found(1, 0, sum(status not in {0, -signal.SIGKILL} for status in statuses))


def enter_often(run: Path, inside: Path, rng: random.Random, killed: float) -> int:
    """Enter the folder for a moment, as often as it is free; 1 if somebody else was in it too."""
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        with suppress(EdgewidthError), locked(run), inside.open("a") as mark:
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return 1
            time.sleep(rng.uniform(0, 0.004))
            if rng.random() < killed:
                os.kill(os.getpid(), signal.SIGKILL)
    return 0


FAST: dict[str, tuple[int, Kind]] = {
    **{kind: (3, partial(alone, kind)) for kind in SINGLE},
    "together": (8, together),
    "power cut": (5, power_cut),
    "two hosts": (1, two_hosts),
    "two programs": (1, two_programs),
    "migration": (3, migration),
    "document": (6, document),
    "run folder": (2, run_folder),
}
"""The kinds that need no real link, with how many of each are tried in a round."""


# Real links.


def on_link(profile: DeviceProfile, kinds: tuple[str, ...], rng: random.Random, folder: Path) -> Found:
    """A campaign over a real link, broken once or twice."""
    there = profile.model_copy(update={"workdir": str(folder / "device")})
    calls = [breaks_of(rng, (rng.choice(kinds),), moments=60) for _ in range(2)]
    return campaign(real_place(folder, there), calls)


def over_ssh(destination: Any, rng: random.Random, folder: Path) -> Found:
    """A campaign over SSH to this machine's own server."""
    profile = DeviceProfile(name="board", transport="ssh", workdir=str(folder / "device"), python=sys.executable)

    def open_link() -> Device:
        link = SshTransport(destination, profile)
        return Device(profile, link, link.facts())

    calls = [breaks_of(rng, (rng.choice(REAL_KINDS),), moments=60) for _ in range(2)]
    return campaign(real_place(folder, profile)._replace(open_link=open_link), calls)


def on_board(rng: random.Random, folder: Path) -> Found:
    """A campaign on an emulated board, which boots anew for every call of the program."""
    policy = default_policy(Clock.ICOUNT).model_copy(update={"rounds": 4, "remeasure": 0, "patience_s": 20.0})
    place = real_place(folder, load_profile("emulator-cortex-a72"), policy, limit_s=400)
    return campaign(place, [breaks_of(rng, (rng.choice(["kill", "cut", "answers lost"]),), moments=40)])


REAL_KINDS = ("kill", "cut", "answers lost", "reboot", "garbage", "runner killed")


@contextmanager
def adb_phone(folder: Path) -> Iterator[DeviceProfile]:
    """A phone's daemon on this machine, and an adb server of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ.update(HOME=str(folder), ANDROID_ADB_SERVER_PORT=str(port), ADB_MDNS_AUTO_CONNECT="0")
    phone = AdbDaemon(0, programs=folder / "bin", state="device")
    runtimes = (Runtime.ONNXRUNTIME,)
    try:
        yield DeviceProfile(
            name="phone",
            transport="adb",
            address=phone.serial,
            python=sys.executable,
            runtime=runtimes[0],
            runtimes=runtimes,
        )
    finally:
        phone.stop()
        subprocess.run([AdbClient.find().program, "kill-server"], check=False, timeout=20, capture_output=True)


class Link(NamedTuple):
    """A kind over a real link, how many campaigns it is given, and what it needs."""

    name: str
    campaigns: int
    kind: Kind


def real_links(stack: ExitStack, folder: Path) -> Iterator[Link]:
    """Those that this machine has."""
    yield Link("this machine", 16, partial(on_link, DeviceProfile(name="local", transport="local"), REAL_KINDS))
    if shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin"):
        (folder / "sshd").mkdir()
        yield Link("ssh", 8, partial(over_ssh, stack.enter_context(sshd(folder / "sshd")).destination))
    if shutil.which("adb") or find_spec("adbutils"):
        (folder / "adb").mkdir()
        yield Link("adb", 8, partial(on_link, stack.enter_context(adb_phone(folder / "adb")), REAL_KINDS))
    if all(shutil.which(tool) for tool in ("qemu-system-aarch64", "cpio", "mmdebstrap")):
        yield Link("board", 2, on_board)


# All of them.


class Result(NamedTuple):
    """One case: its kind, what it came to, and why it did not end."""

    kind: str
    found: Found
    hung: bool


def one_case(kinds: dict[str, Kind], case: tuple[str, int]) -> Result:
    """Run the case of a seed; what is wrong is said with its seed."""
    kind, seed = case
    rng, folder = random.Random(seed), Path(tempfile.mkdtemp(prefix="edgewidth-faults-"))
    random.seed(seed)
    try:
        found, hung = kinds[kind](rng, folder), False
    except HungError:
        found, hung = Found(1, 0, 0), True
    if found.lost or found.doubled or hung:
        print(f"{kind}, seed {seed}: {found}{', hung' if hung else ''}; see {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return Result(kind, found, hung)


def fast_cases(faults: int, seed: int, chosen: list[str]) -> Iterator[tuple[str, int]]:
    """Kind and seed, over and over, more than will be needed."""
    round_of = [kind for kind in chosen for _ in range(FAST[kind][0])]
    for number in range(2 * faults):
        yield round_of[number % len(round_of)], 1_000_000 * seed + number


def main() -> int:
    """Break, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1000, help="how many to inject at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=list(FAST), default=list(FAST), help="without real links")
    parser.add_argument("--no-links", action="store_true", help="leave the real links out")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    injected: Counter[str] = Counter()
    lost = doubled = hung = 0

    def count(result: Result) -> None:
        nonlocal lost, doubled, hung
        injected[result.kind] += result.found.injected
        lost, doubled, hung = lost + result.found.lost, doubled + result.found.doubled, hung + result.hung
        if injected.total() // 50 > (injected.total() - result.found.injected) // 50:
            print(f"{injected.total()} faults: {lost} lost, {doubled} doubled, {hung} hung", file=sys.stderr)

    with tempfile.TemporaryDirectory(prefix="edgewidth-links-") as name, ExitStack() as stack:
        if not options.no_links:
            for link in real_links(stack, Path(name)):
                for number in range(link.campaigns):
                    count(one_case({link.name: link.kind}, (link.name, 1_000_000 * options.seed + number)))
    kinds = {kind: FAST[kind][1] for kind in options.kinds}
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        cases = fast_cases(options.faults, options.seed, options.kinds)
        for result in pool.imap_unordered(partial(one_case, kinds), cases):
            count(result)
            if injected.total() >= options.faults:
                break
        pool.terminate()
    summary = {
        "injected": injected.total(),
        "by_kind": dict(injected),
        "lost": lost,
        "doubled": doubled,
        "hung": hung,
    }
    print(json.dumps(summary) if options.json else "\n".join(f"{key}: {value}" for key, value in summary.items()))
    return int(bool(lost or doubled or hung))


if __name__ == "__main__":
    sys.exit(main())
