"""Everything that can go wrong, in one tree.

EdgewidthError
├── InputError                 exit 2: what the user gave is wrong
│   ├── DataError              images and labels
│   ├── ProfileError           a device profile
│   ├── FileError              a file that cannot be read as what it should be
│   └── MismatchError          two things that do not belong together
├── AnswerError                exit 1: the tool worked, and the answer is no
│   ├── InfeasibleBudgetError  no configuration is fast enough
│   └── ParityError            an artifact does not compute what the trained network computes
└── SurroundingsError          exit 3: the request may be right, and what it takes failed
    ├── MissingPackageError    an extra that is not installed
    ├── DeviceError            will fail again in the same way: no such device, runtime missing
    │   └── ModelFailedError   a model does not run there
    ├── TransientDeviceError   may pass: a cut link, a busy device; retried before it is raised
    ├── StorageError           a disk is full or cannot be written
    │   └── OutputError        the same of standard output
    └── TrainingError          training cannot go on: the loss is not finite or diverges
"""

from __future__ import annotations

import errno
from typing import ClassVar


class EdgewidthError(Exception):
    """Base of all errors that a user is meant to read.

    A parameter that the text names stands in backticks, with its value where there is one: `max_width`, `threads=1`,
    and `workdir=/path` for a key of the device profile. The command line writes its options in their place.

    Args:
        message: What is wrong and where, as one sentence.
        remedy: What to do about it; shown on its own line.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class InputError(EdgewidthError):
    """What the user gave is wrong."""


class DataError(InputError):
    """Images or labels cannot be used as they are."""


class ProfileError(InputError):
    """A device profile does not exist or does not make sense."""


class FileError(InputError):
    """A file cannot be read as what it should be."""


class MismatchError(InputError):
    """Two things that do not belong together: a table and a space, losses and a table."""


class AnswerError(EdgewidthError):
    """The tool worked, and the answer is no."""

    exit_code = 1


class InfeasibleBudgetError(AnswerError):
    """No configuration of the search space is fast enough."""


class ParityError(AnswerError):
    """An artifact does not compute what the trained network computes."""


class SurroundingsError(EdgewidthError):
    """What a request takes failed; the class says whether another try may help."""

    exit_code = 3


class MissingPackageError(SurroundingsError):
    """A package is needed that is not installed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed.",
            remedy=f"pip install 'edgewidth[{extra}]'",
        )


EXTRAS = {"torch": "train", "tensorflow": "export", "keras": "export"}
"""The packages that whole rooms stand on, by the extra that brings each: a light installation lacks them."""


def as_missing(error: Exception) -> MissingPackageError | None:
    """What to tell of ``error`` if it is that such a package is not installed; None: it is another one."""
    package = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in EXTRAS:
        return None
    return MissingPackageError(package, extra=EXTRAS[package], purpose="This")


UNUSABLE = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EACCES}
"""What the system says of a path that is wrong itself, whatever is done with it."""


def as_unusable(error: Exception) -> InputError | None:
    """What to tell of ``error`` if it is that a path cannot be one of what is looked for; None: it is another one."""
    if not isinstance(error, OSError) or error.errno not in UNUSABLE or not error.filename:
        return None
    return InputError(f"{error.filename} cannot be used: {error.strerror}.", remedy="Give another path.")


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""What the system says of a disk that takes no more."""


def as_full_disk(error: Exception) -> StorageError | None:
    """What to tell of ``error`` if it is that a disk takes no more; None: it is another one."""
    if not isinstance(error, OSError) or error.errno not in FULL:
        return None
    return StorageError(
        f"{error.filename or 'A file'} could not be written: {error.strerror}.",
        remedy="Free space in the run folder, the cache folder, and for temporary files, in /tmp or what TMPDIR says.",
    )


class DeviceError(SurroundingsError):
    """The device cannot do what was asked, and would fail again in the same way."""


class ModelFailedError(DeviceError):
    """A model does not run on the device. ``reason`` is what the runtime there says."""

    def __init__(self, message: str, *, reason: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class TransientDeviceError(SurroundingsError):
    """The device could not be reached or did not answer; it may on another try."""


class StorageError(SurroundingsError):
    """A disk is full or cannot be written."""


class OutputError(StorageError):
    """What was to be printed could not be."""


class TrainingError(SurroundingsError):
    """Training cannot go on as it is."""
