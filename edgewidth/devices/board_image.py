"""The emulated board's kernel and system: made once from the package registries this machine is set up with.

The system is a Debian for arm64 that is unpacked, never installed, so neither root nor KVM nor binfmt is
needed; the runtimes are the real aarch64 wheels. One Python environment serves all of them: tflite-runtime
needs numpy 1, and the others run on it as well.
"""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.devices.process import DETAIL_BYTES, finish
from edgewidth.errors import DeviceError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgewidth.progress import Progress, Task

# Python 3.11 is the newest for which tflite-runtime was built; bookworm has it.
SUITE = "bookworm"
PYTHON = "3.11"
PACKAGES = (
    "base-files",
    "busybox-static",
    "coreutils",
    "dash",
    "grep",
    "libstdc++6",
    "linux-image-cloud-arm64",
    "openssh-server",
    "procps",
    "python3",
    "sed",
    "tar",
    "util-linux",
)
WHEELS = ("ai-edge-litert==2.3.0", "numpy==1.26.4", "onnxruntime==1.32.0", "tflite-runtime==2.14.0")
# What glibc 2.36 of the suite can load; pip takes the platform tags literally.
PLATFORMS = (*(f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)), "manylinux2014_aarch64")
MODULES = ("failover", "net_failover", "virtio", "virtio_ring", "virtio_mmio", "virtio_net")
"""What a network card needs, in the order in which it is loaded."""
UNUSED = (
    *("boot", "etc/apt", "lib/modules", "lib/systemd", "lib/udev", "usr/lib/systemd", "usr/lib/udev"),
    *("usr/lib/aarch64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/perl", "usr/lib/aarch64-linux-gnu/perl-base"),
    *(f"usr/share/{name}" for name in ("bash-completion", "doc", "i18n", "info", "locale", "man", "perl", "zoneinfo")),
    *("var/cache", "var/lib/apt", "var/lib/dpkg"),
)
"""What no measurement needs: every byte is copied into the board's memory at each boot."""

_TOOLS = {
    "cpio": "cpio",
    "mmdebstrap": "mmdebstrap",
    "qemu-system-aarch64": "qemu-system-arm",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
_STEP_S = 900.0


class BoardImage(NamedTuple):
    """The files of a prepared board."""

    kernel: Path
    initrd: Path
    identity: Path
    """The private key that the board lets in."""
    known_hosts: Path
    """The board's own host key, under the name of ``host_alias``."""
    host_alias: str


def cache_folder() -> Path:
    """Where prepared boards live: ``EDGEWIDTH_CACHE``, else ``edgewidth`` in the user's cache folder."""
    named = os.environ.get("EDGEWIDTH_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edgewidth"


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
            remedy=f"sudo apt-get install {' '.join(packages)}",
        )


def prepare(progress: Progress) -> BoardImage:
    """The board's files from the cache, made on first use (about a minute, 600 MB on the way).

    Raises:
        DeviceError: A program is missing, or a package or wheel cannot be had.
        TransientDeviceError: A registry did not answer in time.
        StorageError: The cache folder cannot be written.
    """
    require_tools()
    image = _image(cache_folder() / f"board-{_recipe_digest()}")
    try:
        with _only_one(cache_folder()):
            if not image.initrd.exists():
                _make(image.kernel.parent, progress)
    except OSError as error:
        raise StorageError(
            f"The emulated board could not be written to {cache_folder()}: {error.strerror or error}.",
            remedy="Free some space, or name another folder with EDGEWIDTH_CACHE.",
        ) from error
    return image


def _image(folder: Path) -> BoardImage:
    return BoardImage(
        folder / "kernel", folder / "initrd", folder / "identity", folder / "known_hosts", f"edgewidth-{folder.name}"
    )


def _recipe_digest() -> str:
    """A board made by another recipe is another board; the digest of all that goes in tells them apart."""
    recipe = repr((SUITE, PYTHON, PACKAGES, WHEELS, MODULES, UNUSED, _overlay()))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _overlay() -> dict[str, str]:
    """Our own few files of the board's system, by their path there."""
    folder = resources.files("edgewidth.devices") / "board"
    return {
        "etc/inittab": (folder / "inittab").read_text(),
        "etc/passwd": (folder / "passwd").read_text(),
        "etc/group": (folder / "group").read_text(),
        "etc/ssh/sshd_config": (folder / "sshd_config").read_text(),
        "etc/start": (folder / "start").read_text(),
    }


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
        _unpack_system(root)
        _step(task, "aarch64 wheels")
        _unpack_wheels(root / f"usr/local/lib/python{PYTHON}/dist-packages")
        _step(task, "system")
        _take_kernel(root, ready / "kernel")
        _compile(root)
        _put_overlay(root)
        _make_keys(root, ready, _image(folder).host_alias)
        _step(task, "initial RAM disk")
        _pack(root, ready / "initrd")
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)
        task.advance()


def _step(task: Task, what: str) -> None:
    task.advance()
    task.note(what)


def _unpack_system(root: Path) -> None:
    # chrootless mode runs nothing of what it unpacks and needs no privileges.
    command = ["mmdebstrap", "--mode=chrootless", "--variant=extract", "--architectures=arm64"]
    command += [f"--include={','.join(PACKAGES)}", SUITE, str(root), *_debian_sources()]
    _call(command, "Debian packages for arm64")


def _debian_sources() -> list[str]:
    """The Debian mirror that this machine's apt uses; none elsewhere: mmdebstrap knows the usual one."""
    if shutil.which("apt-get") is None:
        return []
    query = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    query += ["Origin: Debian", "Label: Debian", "Component: main", "Created-By: Packages"]
    listed = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    mirrors = [line for line in listed.stdout.split() if "$" not in line]
    return [f"deb {mirrors[0]} {SUITE} main"] if mirrors else []


def _unpack_wheels(folder: Path) -> None:
    if find_spec("pip") is None:
        raise DeviceError(
            "The emulated board's wheels are fetched with pip, which this Python does not have.",
            remedy=f"{sys.executable} -m ensurepip",
        )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:"]
    command += ["--target", str(folder), "--python-version", PYTHON, "--implementation", "cp"]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    _call([*command, *WHEELS], "Python wheels for aarch64")


def _call(command: Sequence[str], what: str) -> None:
    ended = finish(command, timeout_s=_STEP_S, what=f"Fetching {what}")
    if ended.returncode != 0:
        said = ended.stderr[-DETAIL_BYTES:].decode(errors="replace").strip().splitlines()
        errors = [line for line in said if line.startswith(("E:", "ERROR"))] or said
        raise DeviceError(
            f"{what} could not be fetched: {errors[-1] if errors else command[0] + ' failed without a word'}",
            remedy="Check that apt and pip reach their registries from this machine, and try again.",
        )


def _take_kernel(root: Path, kernel: Path) -> None:
    """Move the kernel out of the unpacked system and keep only the modules that are loaded."""
    (found,) = (root / "boot").glob("vmlinuz-*")
    shutil.move(found, kernel)
    kept = root / "modules"
    kept.mkdir()
    for name in MODULES:
        (module,) = (root / "lib/modules").rglob(f"{name}.ko")
        shutil.move(module, kept / module.name)
    for name in UNUSED:
        shutil.rmtree(root / name, ignore_errors=True)


def _compile(root: Path) -> None:
    """Compile the Python files where this Python is of the board's version; else the board does so as it imports."""
    if sys.version_info[:2] == tuple(int(part) for part in PYTHON.split(".")):
        for folder in (f"usr/lib/python{PYTHON}", f"usr/local/lib/python{PYTHON}"):
            compileall.compile_dir(
                root / folder,
                quiet=2,
                stripdir=str(root),
                prependdir="/",
                workers=0,
                maxlevels=20,
                rx=re.compile("/(tests?|testing)/"),
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )


def _put_overlay(root: Path) -> None:
    for path, text in _overlay().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "etc/start").chmod(0o755)
    (root / "init").symlink_to("bin/busybox")
    (root / "etc/debian_version").exists() or (root / "etc/debian_version").write_text(SUITE)
    for name in ("dev", "proc", "root", "run/sshd", "sys", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)


def _make_keys(root: Path, ready: Path, alias: str) -> None:
    """A host key for the board and a key that it lets in; both are this machine's own."""
    host_key, identity = root / "etc/ssh/ssh_host_ed25519_key", ready / "identity"
    for key in (host_key, identity):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", alias, "-f", str(key)]
        subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
    (ready / "known_hosts").write_text(f"{alias} {host_key.with_suffix('.pub').read_text()}")
    let_in = root / "root/.ssh/authorized_keys"
    let_in.parent.mkdir(parents=True, exist_ok=True)
    let_in.write_text(identity.with_suffix(".pub").read_text())
    let_in.chmod(0o600)


def _pack(root: Path, initrd: Path) -> None:
    """Pack ``root`` as it is: to decompress costs the emulated processor more than to copy."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    command = ["cpio", "--quiet", "--null", "--create", "--format=newc", "--owner=+0:+0", "--reproducible"]
    with initrd.open("wb") as target:
        initrd.chmod(0o600)  # it holds the board's host key
        subprocess.run(
            command,
            cwd=root,
            input="\0".join(names).encode(),
            stdout=target,
            stderr=subprocess.PIPE,
            check=True,
            timeout=_STEP_S,
        )
