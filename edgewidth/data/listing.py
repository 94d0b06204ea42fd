"""What of a folder of images is images: their classes, and what cameras, phones and file systems leave beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import features

from edgewidth.errors import DataError
from edgewidth.tasks.classification.names import class_name

FORMATS: Mapping[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    **({"AVIF": (".avif",)} if features.check("avif") else {}),
}
"""By Pillow's name, the endings of the files that are read; of a GIF that moves the first picture."""
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
LEFT_BY_SYSTEMS = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "@recycle", "lost+found"}
    | {"$recycle.bin", "system volume information", "picasa.ini", "zbthumbnail.info"}
)
"""Files and folders that nobody put there, in lower case; so is everything whose name begins with a dot."""


class Listed(NamedTuple):
    """The images of one side of a source."""

    files: list[Path]
    labels: list[int]
    """For each file, the place of its class."""
    left_out: list[Path]
    """What systems left there."""
    strangers: list[Path]
    """What else is no image by its ending."""


def class_folders(path: Path) -> dict[str, Path]:
    """The folders of the classes by name, in order; a name that can be written in two ways is composed.

    Raises:
        DataError: There is no such folder, it has none, or a name cannot stand in a line of text.
    """
    if not path.is_dir():
        raise DataError(
            f"{path} does not exist.", remedy="A data folder holds train/<class>/*.jpg and val/<class>/*.jpg."
        )
    found: dict[str, Path] = {}
    for folder in sorted(entry for entry in path.iterdir() if not _is_left(entry.name)):
        if not folder.is_dir():
            if folder.is_symlink() and not folder.exists():
                raise DataError(f"{folder} is a link to what is not there.", remedy="Mend the link, or take it away.")
            continue
        name = class_name(folder.name, f"The class folder {str(folder)!r}")
        if name in found:
            raise DataError(
                f"{path} has two folders for the class {name!r}, with the accents written in two ways.",
                remedy="Put their images into one of them.",
            )
        found[name] = folder
    if not found:
        what = "has no class folders" if any(path.iterdir()) else "is empty: it has no class folders"
        raise DataError(f"{path} {what}.", remedy="Put the images of each class in a folder of its own.")
    return dict(sorted(found.items()))


def list_images(path: Path, class_names: tuple[str, ...], *, skip_bad: bool = False) -> Listed:
    """All images below the class folders of a side, ``train`` or ``val``; folders inside of them count, as do links.

    Raises:
        DataError: Something else lies there, which ``skip_bad`` leaves out; a folder cannot be read, or lies in itself;
            a class has no images to train with.
    """
    folders, found = class_folders(path), Listed([], [], [], [])
    for label, name in enumerate(class_names):
        before = len(found.files)
        for file in _below(folders[name], found.left_out) if name in folders else ():
            if file.suffix.lower() in SUFFIXES and not _is_no_file(file):
                found.files.append(file)
                found.labels.append(label)
            elif skip_bad:
                found.strangers.append(file)
            else:
                raise DataError(
                    _stranger(file),
                    remedy="Leave nothing but images in the class folders, or leave out all such files: `skip_bad`.",
                )
        if len(found.files) == before and path.name == "train":
            raise DataError(
                f"{folders.get(name, path / name)} has no images.",
                remedy="Put images of the class there, or remove the folder.",
            )
    return found


def _below(folder: Path, left_out: list[Path], above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files of a folder, then those of the folders in it, in order; ``above`` are the ones that led there."""
    here = folder.resolve()
    if here in above:
        raise DataError(f"{folder} is a link to a folder that it lies in.", remedy="Take the link away.")
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.is_dir(), entry.name) for entry in entries)
    except OSError as error:
        raise DataError(
            f"{folder} could not be read: {error.strerror}.", remedy="Let its images be read, or take it away."
        ) from error
    left_out += [folder / name for _, name in found if _is_left(name) and not name.startswith(".")]
    for is_folder, name in found:
        if _is_left(name):
            continue
        if is_folder:
            yield from _below(folder / name, left_out, (*above, here))
        else:
            yield folder / name


def _is_no_file(path: Path) -> bool:
    """Whether it is there, and a pipe or a device, which reading would wait for."""
    return not path.is_file() and path.exists()


def _is_left(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def _stranger(file: Path) -> str:
    if _is_no_file(file):
        return f"{file} is no file of pixels, but a pipe or a device."
    known = ", ".join(sorted(SUFFIXES))
    if file.suffix.lower() in {".heic", ".heif"}:
        return f"{file} is of a format that Pillow cannot read; these are: {known}."
    return f"{file} is no image that can be read; these are: {known}."
