"""Networks of libraries that the user has installed: ``timm:NAME`` and ``torchvision:NAME``, trained or not."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from edgewidth.capture.guard import guarded, told
from edgewidth.errors import InputError, SurroundingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

STALLED_S = 30.0
"""A download from which nothing comes for so long is given up."""
SOURCE = ":"


class Normalisation(NamedTuple):
    """What a network does to pixels from 0 to 1 before its first layer."""

    mean: tuple[float, ...]
    """What it subtracts, for each channel."""
    std: tuple[float, ...]
    """What it divides by after that."""


class LibraryNetwork(NamedTuple):
    """A network that a library made."""

    module: nn.Module
    normalisation: Normalisation | None
    """What its trained weights take; None: the library does not say, or its weights are random."""


class Library(Protocol):
    """Where networks of one library come from."""

    def names(self) -> list[str]:
        """Its networks for classification."""
        ...

    def knows(self, name: str) -> bool:
        """Whether there is such a network; a library may know more names than it lists, such as those with tags."""
        ...

    def make(self, name: str, classes: int | None, *, trained: bool) -> LibraryNetwork:
        """The network with its trained weights and classes, or with random ones and ``classes``."""
        ...


class _Timm:
    def names(self) -> list[str]:
        import timm  # noqa: PLC0415  the user may have it

        return list(timm.list_models())

    def knows(self, name: str) -> bool:
        import timm  # noqa: PLC0415

        return bool(timm.is_model(name))

    def make(self, name: str, classes: int | None, *, trained: bool) -> LibraryNetwork:
        import timm  # noqa: PLC0415

        if not trained:
            return LibraryNetwork(timm.create_model(name, **_classes(classes)), None)
        module = timm.create_model(name, pretrained=True)
        told = module.pretrained_cfg
        return LibraryNetwork(module, Normalisation(tuple(told["mean"]), tuple(told["std"])))


class _Torchvision:
    def names(self) -> list[str]:
        from torchvision import models  # noqa: PLC0415  the user may have it

        return list(models.list_models(module=models))

    def knows(self, name: str) -> bool:
        return name in self.names()

    def make(self, name: str, classes: int | None, *, trained: bool) -> LibraryNetwork:
        from torchvision import models  # noqa: PLC0415

        if not trained:
            return LibraryNetwork(models.get_model(name, **_classes(classes)), None)
        weights = models.get_model_weights(name).DEFAULT
        module = models.get_model(name, weights=weights)
        if getattr(module, "transform_input", False):
            # It turns ImageNet's normalisation into the one that its first layer takes, which is absorbed as it is.
            module.transform_input = False
            return LibraryNetwork(module, Normalisation((0.5,) * 3, (0.5,) * 3))
        told = weights.transforms()
        return LibraryNetwork(module, Normalisation(tuple(told.mean), tuple(told.std)))


LIBRARIES: dict[str, Library] = {"timm": _Timm(), "torchvision": _Torchvision()}
"""By the package's name."""


def is_of_library(text: str) -> bool:
    """Whether a text names a network of a library, such as ``timm:mobilenetv3_small_100``."""
    return text.partition(SOURCE)[0] in LIBRARIES and SOURCE in text


def check_library(text: str) -> None:
    """Make sure that the library is installed and has such a network.

    Raises:
        SurroundingsError: It is not installed, or cannot be imported, as one that was built for another torch.
        InputError: It has no such network.
    """
    package, _, name = text.partition(SOURCE)
    if importlib.util.find_spec(package) is None:
        raise SurroundingsError(
            f"{text} needs the package {package}, which is not installed.",
            remedy=f"Install {package} of a release that fits your torch.",
        )
    try:
        importlib.import_module(package)
    except Exception as error:  # such as an operator that another torch has
        raise SurroundingsError(
            f"{text} needs the package {package}, which cannot be imported; it raises {told(error)}",
            remedy="Install it, and torchvision where that is what it lacks, of releases that fit your torch.",
        ) from error
    library = LIBRARIES[package]
    if not guarded(text, lambda: library.knows(name)):
        near = difflib.get_close_matches(name, library.names(), n=4, cutoff=0.5)
        raise InputError(
            f"{package} has no network {name!r}.",
            remedy=f"It has {', '.join(near)}." if near else f"Look at the names that {package} lists.",
        )


def library_network(text: str, *, num_classes: int | None, trained: bool) -> LibraryNetwork:
    """Make what ``timm:NAME`` or ``torchvision:NAME`` names.

    With its trained weights, which the library fetches or has kept, it has its own classes; with random ones it has
    ``num_classes``, and None stands for its own.

    Raises:
        SurroundingsError: The library is not installed, or its weights cannot be had.
        InputError: There is no such network, or it cannot be made.
    """
    check_library(text)
    package, _, name = text.partition(SOURCE)
    library = LIBRARIES[package]
    if not trained:
        return guarded(text, lambda: library.make(name, num_classes, trained=False))
    try:
        with _stalling_at(STALLED_S):
            return library.make(name, num_classes, trained=True)
    except Exception as error:
        raise SurroundingsError(
            f"The trained weights of {text} cannot be had: {told(error).splitlines()[0]}",
            remedy=f"Let {package} fetch them once where it can, or begin with random weights: `from_scratch`.",
        ) from error


def _classes(classes: int | None) -> dict[str, Any]:
    return {} if classes is None else {"num_classes": classes}


@contextmanager
def _stalling_at(seconds: float) -> Iterator[None]:
    """Give up connections on which nothing comes for so long; downloads of a library may set no limit themselves."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
