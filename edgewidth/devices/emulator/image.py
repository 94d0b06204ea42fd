"""The emulated board's kernel and system: made once from the package registries this machine is set up with.

The system is a Debian for arm64 that is unpacked, never installed, so neither root nor KVM nor binfmt is
needed; the runtimes are the real aarch64 wheels.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.devices.emulator.system import (
    NO_SPACE,
    compile_python,
    put_overlay,
    recipe_digest,
    take_kernel,
    unpack_system,
    unpack_wheels,
)
from edgewidth.devices.reach.process import finish, last_line
from edgewidth.errors import DeviceError, StorageError
from edgewidth.files import cache_folder

if TYPE_CHECKING:
    from edgewidth.progress import Progress, Task

_TOOLS = {
    "cpio": "cpio",
    "mmdebstrap": "mmdebstrap",
    "qemu-system-aarch64": "qemu-system-arm",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


class BoardImage(NamedTuple):
    """The files of a prepared board."""

    kernel: Path
    initrd: Path
    identity: Path
    """The private key that the board lets in."""
    known_hosts: Path
    """The board's own host key, under the name of ``host_alias``."""
    host_alias: str


def require_tools() -> None:
    """Check that the programs are there that a board is made and run with.

    Raises:
        DeviceError: Some are missing; the remedy is the line that installs them.
    """
    missing = sorted(name for name in _TOOLS if shutil.which(name) is None)
    packages = sorted({_TOOLS[name] for name in missing})
    if not any(Path("/usr/share/keyrings").glob("debian-archive-keyring.*")):
        missing.append("Debian's signing keys")
        packages.append("debian-archive-keyring")
    if missing:
        raise DeviceError(
            f"The emulated board needs {', '.join(missing)}, which this machine does not have.",
            remedy=f"sudo apt-get install --no-install-recommends {' '.join(packages)}",
        )


def prepare(progress: Progress) -> BoardImage:
    """The board's files from the cache, made on first use (about a minute, 600 MB on the way).

    Raises:
        DeviceError: A program is missing, or a package or wheel cannot be had.
        TransientDeviceError: A registry did not answer in time.
        StorageError: The cache folder cannot be written.
    """
    require_tools()
    image = _image(cache_folder() / f"board-{recipe_digest()}")
    try:
        with _only_one(cache_folder()):
            if not image.initrd.exists():
                _make(image.kernel.parent, progress)
    except OSError as error:
        raise StorageError(
            f"The emulated board could not be written to {cache_folder()}: {error.strerror or error}.",
            remedy=NO_SPACE,
        ) from error
    return image


def _image(folder: Path) -> BoardImage:
    return BoardImage(
        folder / "kernel", folder / "initrd", folder / "identity", folder / "known_hosts", f"edgewidth-{folder.name}"
    )


@contextmanager
def _only_one(cache: Path) -> Iterator[None]:
    """Hold the cache's lock: of several processes that need a board, one makes it."""
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (cache / "board.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the holder's every step has a time limit, so this ends
        yield


def _make(folder: Path, progress: Progress) -> None:
    for left in folder.parent.glob("making-*"):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix="making-", dir=folder.parent) as name,
        progress.task("Preparing the emulated board", total=5) as task,
    ):
        work, root = Path(name), Path(name) / "root"
        ready = work / "ready"
        ready.mkdir()
        _step(task, "arm64 packages")
        unpack_system(root)
        _step(task, "aarch64 wheels")
        unpack_wheels(root)
        _step(task, "system")
        take_kernel(root, ready / "kernel")
        compile_python(root)
        put_overlay(root)
        _make_keys(root, ready, _image(folder).host_alias)
        _step(task, "initial RAM disk")
        _pack(root, ready / "initrd")
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)
        for old in folder.parent.glob("board-*"):  # of earlier recipes: 350 MB each; a board that runs has read its own
            if old.is_dir() and old != folder:
                shutil.rmtree(old, ignore_errors=True)
        task.advance()


def _step(task: Task, what: str) -> None:
    task.advance()
    task.note(what)


def _make_keys(root: Path, ready: Path, alias: str) -> None:
    """A host key for the board and a key that it lets in; both are this machine's own."""
    host_key, identity = root / "etc/ssh/ssh_host_ed25519_key", ready / "identity"
    for key in (host_key, identity):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", alias, "-f", str(key)]
        ended = finish(command, timeout_s=60, what="Making a key")
        if ended.returncode != 0:
            said = last_line(ended.stderr)
            raise StorageError(f"No key could be made: {said}.", remedy=NO_SPACE)
    (ready / "known_hosts").write_text(f"{alias} {host_key.with_suffix('.pub').read_text()}")
    let_in = root / "root/.ssh/authorized_keys"
    let_in.parent.mkdir(parents=True, exist_ok=True)
    let_in.write_text(identity.with_suffix(".pub").read_text())
    let_in.chmod(0o600)


def _pack(root: Path, initrd: Path) -> None:
    """Pack ``root`` as it is: to decompress costs the emulated processor more than to copy."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    command = ["cpio", "--quiet", "--null", "--create", "--format=newc", "--owner=+0:+0", "--reproducible"]
    command.append(f"--file={initrd}")
    initrd.touch(mode=0o600)  # it holds the board's host key
    ended = finish(command, timeout_s=600, what="Packing", stdin="\0".join(names).encode(), folder=root)
    if ended.returncode != 0:
        said = last_line(ended.stderr)
        raise StorageError(f"The board's system could not be packed: {said}.", remedy=NO_SPACE)
