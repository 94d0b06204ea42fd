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
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir() and not _is_left(entry.name)):
        name = class_name(folder.name, f"The class folder {str(folder)!r}")
        if name in found:
            raise DataError(
                f"{path} has two folders for the class {name!r}, with the accents written in two ways.",
                remedy="Put their images into one of them.",
            )
        found[name] = folder
    if not found:
        raise DataError(
            f"{path} is empty: it has no class folders.", remedy="Put the images of each class in a folder of its own."
        )
    return dict(sorted(found.items()))


def list_images(path: Path, class_names: tuple[str, ...]) -> Listed:
    """All images below the class folders of a side, ``train`` or ``val``; folders inside of them count.

    Raises:
        DataError: Something else lies there, or a class has no images to train with.
    """
    folders, found = class_folders(path), Listed([], [], [])
    for label, name in enumerate(class_names):
        before = len(found.files)
        for file in _below(folders[name], found.left_out) if name in folders else ():
            if file.suffix.lower() not in SUFFIXES:
                raise DataError(_stranger(file), remedy="Leave nothing but images in the class folders.")
            found.files.append(file)
            found.labels.append(label)
        if len(found.files) == before and path.name == "train":
            raise DataError(
                f"{folders.get(name, path / name)} has no images.",
                remedy="Put images of the class there, or remove the folder.",
            )
    return found


def _below(folder: Path, left_out: list[Path]) -> Iterator[Path]:
    """All files of a folder and of those in it, in order; links to folders are not followed."""
    for where, folders, names in os.walk(folder):
        for kept in (folders, names):
            left_out += [Path(where, name) for name in kept if _is_left(name) and not name.startswith(".")]
            kept[:] = sorted(name for name in kept if not _is_left(name))
        yield from (Path(where, name) for name in names)


def _is_left(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def _stranger(file: Path) -> str:
    known = ", ".join(sorted(SUFFIXES))
    if file.suffix.lower() in {".heic", ".heif"}:
        return f"{file} is of a format that Pillow cannot read; these are: {known}."
    return f"{file} is no image that can be read; these are: {known}."
