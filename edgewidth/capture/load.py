"""Someone's network by what the command line calls it: a callable of a file or package, or an exported program."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewidth.capture.guard import guarded
from edgewidth.capture.libraries import check_library, is_of_library
from edgewidth.errors import FileError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from torch import nn

FORMS = (
    "Write file.py:callable, package.module:callable, a .pt2 file that torch.export.save wrote, timm:NAME or "
    "torchvision:NAME."
)
PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl"}
"""Files of weights alone or of pickled objects, of which neither describes a network safely."""


def is_own(text: str) -> bool:
    """Whether a text names a file or a callable, and no family of networks."""
    return ":" in text or Path(text).suffix != ""


def check_named(text: str) -> Path | None:
    """The file of an exported program; None: it names a callable or a library's network, which can be found.

    Raises:
        InputError: There is no such thing, or a file holds no network.
        SurroundingsError: It names a library's network, and the library is not installed.
    """
    if is_of_library(text):
        check_library(text)
        return None
    path = Path(text)
    if path.suffix == ".pt2":
        if not path.is_file():
            raise FileError(f"{text} is not there.", remedy=FORMS)
        return path
    if path.suffix in PICKLES:
        raise FileError(
            f"{text} may hold weights, or anything pickled, but does not safely say what network it is.",
            remedy="Give file.py:callable, whose callable makes the network and loads the weights into it with "
            "torch.load(…, weights_only=True), or a .pt2 file that torch.export.save wrote.",
        )
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise InputError(f"{text!r} names no network.", remedy=FORMS)
    if Path(place).suffix == ".py":
        if not Path(place).is_file():
            raise FileError(f"{place} is not there.", remedy=FORMS)
    elif not guarded(text, lambda: _can_be_found(place)):  # which imports the packages around it
        raise InputError(f"There is no package {place} that Python could import.", remedy=FORMS)
    return None


def make_module(text: str, *, num_classes: int | None) -> nn.Module:
    """Call what ``file.py:callable`` or ``package.module:callable`` names, with ``num_classes`` if it takes that.

    Raises:
        InputError: There is no such thing, it raises, or it gives something else than a module.
    """
    import torch  # noqa: PLC0415  it loads when there is a network to make

    check_named(text)
    place, _, name = text.rpartition(":")
    source = _import(text, place)
    make = getattr(source, name, None)
    if not callable(make):
        found = "no" if make is None else "no callable"
        raise InputError(f"{place} has {found} {name}.", remedy=_callables(source))
    takes_classes = num_classes is not None and _takes_classes(make)
    module = _called(text, make, {"num_classes": num_classes} if takes_classes else {})
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"{text} gives {_a(type(module).__name__)}, and not a torch.nn.Module.",
            remedy="Let it return the network itself.",
        )
    return module


def _import(text: str, place: str) -> ModuleType:
    path = Path(place)
    if path.suffix != ".py":
        return guarded(text, lambda: importlib.import_module(place))
    try:
        return guarded(text, lambda: _run_file(path))
    except InputError as error:
        if "attempted relative import" not in str(error.__cause__):
            raise
        raise InputError(
            error.message,
            remedy="It is a part of a package: write package.module:callable in the folder where the package is.",
        ) from error


def _can_be_found(package: str) -> bool:
    """Whether Python can import a module, whose packages it imports; also from the current folder, as ``python -m``."""
    if package.startswith("."):
        return False
    _import_from(Path.cwd())
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError as error:
        # Of the packages around it one may be there, and import something that is not.
        if f"{package}.".startswith(f"{error.name}."):
            return False
        raise
    except ValueError:
        return False


def _import_from(folder: Path) -> None:
    """Let Python find what lies in a folder, after everything that it finds without."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _run_file(path: Path) -> ModuleType:
    """Import a file; what lies beside it can be imported by it."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None  # noqa: S101, PT018  it ends in .py
    module = importlib.util.module_from_spec(specification)
    _import_from(path.resolve().parent)
    sys.modules.setdefault(path.stem, module)  # as dataclasses and pickles in the file expect
    specification.loader.exec_module(module)
    return module


def _called(text: str, make: Callable[..., object], arguments: Mapping[str, Any]) -> object:
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise InputError(
            f"{text} cannot be called: {error}.",
            remedy="Name a callable that needs nothing, or num_classes alone and `data` that tells how many.",
        ) from error
    except ValueError:
        pass  # it has no signature to be read; the call tells
    return guarded(text, lambda: make(**arguments))


def _takes_classes(make: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(make).parameters
    except ValueError:
        return False
    return "num_classes" in parameters


def _callables(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return f"Its callables are {', '.join(names[:12])}." if names else "It defines no callable."


def _a(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
