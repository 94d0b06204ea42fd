"""What the emulated board's system is made of: Debian packages for arm64, aarch64 wheels, a few files of our own.

One Python environment serves all runtimes: tflite-runtime needs numpy 1, and the others run on it as well.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from edgewidth.devices.reach.process import finish, last_line
from edgewidth.errors import DeviceError, StorageError

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

NO_SPACE = "Free some space (1 GB is enough), or name another folder with EDGEWIDTH_CACHE."
_STEP_S = 900.0


def recipe_digest() -> str:
    """A board made by another recipe is another board; the digest of all that goes in tells them apart."""
    recipe = repr((SUITE, PYTHON, PACKAGES, WHEELS, MODULES, UNUSED, _overlay()))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _overlay() -> dict[str, str]:
    """Our own few files of the board's system, by their path there."""
    folder = resources.files("edgewidth.devices.emulator") / "files"
    names = ("etc/inittab", "etc/passwd", "etc/group", "etc/ssh/sshd_config", "etc/start")
    return {name: (folder / name.rpartition("/")[2]).read_text() for name in names}


def unpack_system(root: Path) -> None:
    """Unpack the Debian packages into ``root``.

    Raises:
        DeviceError: They cannot be had.
        TransientDeviceError: The mirror did not answer in time.
    """
    # chrootless mode runs nothing of what it unpacks and needs no privileges.
    command = ["mmdebstrap", "--mode=chrootless", "--variant=extract", "--architectures=arm64"]
    command += [f"--include={','.join(PACKAGES)}", SUITE, str(root), *_debian_sources()]
    _fetch(command, "Debian packages for arm64")


def _debian_sources() -> list[str]:
    """The Debian mirror that this machine's apt uses; none elsewhere: mmdebstrap knows the usual one."""
    if shutil.which("apt-get") is None:
        return []
    query = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    query += ["Origin: Debian", "Label: Debian", "Component: main", "Created-By: Packages"]
    listed = finish(query, timeout_s=60, what="Asking apt for its mirrors")
    mirrors = [line for line in listed.stdout.decode().split() if "$" not in line]
    return [f"deb {mirrors[0]} {SUITE} main"] if mirrors else []


def unpack_wheels(root: Path) -> None:
    """Unpack the runtimes and what they need."""
    folder = root / f"usr/local/lib/python{PYTHON}/dist-packages"
    if find_spec("pip") is None:
        raise DeviceError(
            "The emulated board's wheels are fetched with pip, which this Python does not have.",
            remedy=f"{sys.executable} -m ensurepip",
        )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:"]
    command += ["--target", str(folder), "--python-version", PYTHON, "--implementation", "cp"]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    _fetch([*command, *WHEELS], "Python wheels for aarch64")


def take_kernel(root: Path, kernel: Path) -> None:
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


def compile_python(root: Path) -> None:
    """Compile the Python files where this Python is of the board's version; else the board does so as it imports."""
    if sys.version_info[:2] != tuple(int(part) for part in PYTHON.split(".")):
        return
    command = [sys.executable, "-m", "compileall", "-qq", "-j", "0", "-s", str(root), "-p", "/", "-x", "/tests?/"]
    command += ["--invalidation-mode", "unchecked-hash"]
    command += [str(root / folder) for folder in (f"usr/lib/python{PYTHON}", f"usr/local/lib/python{PYTHON}")]
    finish(command, timeout_s=_STEP_S, what="Compiling")  # a file that cannot be compiled will not be imported either


def _fetch(command: Sequence[str], what: str) -> None:
    ended = finish(command, timeout_s=_STEP_S, what=f"Fetching {what}")
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace")
        if "No space left" in said:
            raise StorageError(f"{what} do not fit on the disk.", remedy=NO_SPACE)
        errors = [line for line in said.splitlines() if line.startswith(("E:", "ERROR"))]
        raise DeviceError(
            f"{what} could not be fetched: {last_line(errors[-1] if errors else said)}.",
            remedy="Check that apt and pip reach their registries from this machine, and try again.",
        )


def put_overlay(root: Path) -> None:
    """Add our own files and the folders that the kernel and init expect."""
    for path, text in _overlay().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "etc/start").chmod(0o755)
    (root / "init").symlink_to("bin/busybox")
    for name in ("dev", "proc", "root", "run/sshd", "sys", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
