"""Images and labels as people have them: read where it is plain what is meant, else one sentence."""

from __future__ import annotations

import errno
import os
import struct
import unicodedata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from support import SHARED_CASES

from edgewidth.cli.main import exit_code
from edgewidth.data.decoding import decode, is_grey, reading
from edgewidth.data.listing import FORMATS
from edgewidth.data.split import data_facts, load_images
from edgewidth.errors import DataError, InputError
from edgewidth.progress import Lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.data.split import ImageData

SIZE = (24, 24)
SOUNDS = {
    "cls-noval": "third has no test images: accuracies are over 2 of 3.",
    "img-bomb-warn": "",
    "img-exif-rational": "",
    "img-nested": "",
    "img-thumbsdb": "1 file that systems leave in folders",
    "img-webp": "",
    "npz-bytesnames": "",
    "npz-npy": "is one array",
    "npz-rgba": "4 channels, one too many",
    "npz-strlabels": "",
}


def smooth(width: int = 40, height: int = 40) -> Image.Image:
    """A picture that compression hardly changes."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([255 * x // width, 255 * y // height, 0 * x + 90], 2).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes with a dozen images each, on both sides."""
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(12):
                smooth(40 + i).save(tmp_path / part / name / f"{i}.png")
    return tmp_path


def load(source: Path | dict[str, Any], **options: Any) -> ImageData:
    """At 24 pixels."""
    return load_images(str(source) if isinstance(source, Path) else source, resolution=24, seed=0, **options)


@pytest.mark.parametrize("case", SOUNDS)
def test_reported_sources(
    case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of the kind that people report, where they lie beside the checkout: read, up to where training begins."""
    if not SHARED_CASES.is_dir():
        pytest.skip(f"{SHARED_CASES} is not there")
    found: list[ImageData] = []

    def train(_: Any, data: ImageData, *__: Any, **___: Any) -> None:
        found.append(data)
        raise InputError("enough")

    monkeypatch.setattr("edgewidth.stages.train.train", train)
    monkeypatch.chdir(SHARED_CASES)
    source = next(path for path in (Path(case, "data"), Path(case, "d.npz")) if path.exists())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert exit_code(["train", "--data", str(source), "--resolution", "32", "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert SOUNDS[case] in printed
    assert bool(found) == (case not in {"npz-npy", "npz-rgba"}), printed
    if case == "npz-bytesnames":
        assert found[0].task.output_names == ("cat", "dog", "owl")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_as_pillow_reads_it(name: str, tmp_path: Path) -> None:
    path, picture = tmp_path / f"x{FORMATS[name][0]}", smooth(24, 24)
    picture.save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    with reading():
        assert np.array_equal(decode(path, SIZE, 3), expected)
    assert np.abs(expected.astype(int) - np.asarray(picture)).mean() < 12


def test_a_picture_that_moves_is_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "x.gif"
    first, second = Image.new("L", SIZE, 200), Image.new("L", SIZE, 20)
    first.save(path, save_all=True, append_images=[second])
    assert np.all(decode(path, SIZE, 1) == 200)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_clear_is_white(mode: str, tmp_path: Path) -> None:
    """Half see-through black over white is middle grey."""
    path, picture = tmp_path / "x.png", Image.new("RGBA", SIZE, (0, 0, 0, 128))
    if mode == "P":
        picture = Image.new("P", SIZE, 3)
        picture.putpalette([0, 0, 0] * 256)
        picture.save(path, transparency=bytes([255, 255, 255, 128]))
    else:
        picture.convert(mode).save(path)
    assert is_grey(path) == (mode == "LA")
    assert np.all(np.abs(decode(path, SIZE, 1).astype(int) - 127) <= 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright(orientation: int, tmp_path: Path) -> None:
    """By each of the eight ways to hold a camera, as Pillow's own transposition has it."""
    from PIL import ImageOps

    path, picture, exif = tmp_path / "x.png", smooth(24, 24), Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert np.array_equal(decode(path, SIZE, 3), expected)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*" + struct.pack(">I", 8) + b"\xff" * 40, b"\0"])
def test_an_exif_that_is_damaged_does_not_matter(exif: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    smooth(24, 24).save(path, exif=exif, quality=95)
    with reading():
        assert decode(path, SIZE, 3).shape == (24, 24, 3)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_told_whatever_its_decoder_raises(name: str, tmp_path: Path) -> None:
    """Cut off anywhere, or with other bytes anywhere: it is read, or refused by its name."""
    path, rng, refused = tmp_path / f"x{FORMATS[name][0]}", np.random.default_rng(0), 0
    smooth().save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for place in rng.integers(0, len(whole), 100):
        changed = whole.copy()
        changed[rng.integers(0, place + 1, 6)] = rng.integers(0, 256, 6)
        for content in (whole[:place], changed):
            path.write_bytes(content.tobytes())
            try:
                with reading():
                    assert decode(path, SIZE, 3).shape == (*SIZE, 3)
            except DataError as error:
                refused += 1
                assert str(path) in error.message  # noqa: PT017 - it need not be refused
    assert refused > 10


@pytest.mark.parametrize("further", [{}, {"format": "MPO", "save_all": True, "append_images": [smooth()]}])
def test_a_large_photograph_is_read_at_a_fraction(
    further: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pixels than Pillow decodes by itself; the colours are those of the whole. A phone may add a preview."""
    path = tmp_path / "x.jpg"
    Image.new("RGB", (20_000, 10_000), (10, 200, 90)).save(path, **further)
    with reading():
        assert np.abs(decode(path, SIZE, 3).astype(int) - (10, 200, 90)).max() <= 2
        monkeypatch.setattr("edgewidth.data.decoding.MOST_JPEG_PIXELS", 190_000_000)
        with pytest.raises(DataError, match=r"x\.jpg has 200 million pixels; at most 190 million are read"):
            decode(path, SIZE, 3)


def test_other_images_are_not_decoded_beyond_a_limit(tmp_path: Path) -> None:
    """Few bytes would fill the memory."""
    path = tmp_path / "x.png"
    Image.new("1", (20_000, 10_000)).save(path)
    with reading(), pytest.raises(DataError, match=r"x\.png has 200 million pixels; at most 180 million are read"):
        decode(path, SIZE, 1)


def test_what_systems_leave_is_left_out(folder: Path) -> None:
    """Said once, with a count; folders of images inside of a class are read."""
    cat = folder / "train" / "cat"
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._1.png", "@eaDir/1.png", ".ipynb_checkpoints/1.png"):
        (cat / name).parent.mkdir(exist_ok=True)
        (cat / name).write_bytes(b"no image")
    (folder / "train" / "__MACOSX").mkdir()
    (cat / "more").mkdir()
    smooth().save(cat / "more" / "13.png")
    data = load(folder)
    assert data.task.output_names == ("cat", "dog")
    assert len(data.train) + len(data.search) + len(data.holdout) == 25


def test_bad_files_are_left_out_where_that_is_wanted(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others keep their labels; without the option the file is named, and the option too."""
    cat = folder / "train" / "cat"
    for name in ("3.png", "7.png"):
        (cat / name).write_bytes((cat / name).read_bytes()[:60])
    whole = load(folder, skip_bad=True)
    for name in ("3.png", "7.png"):
        (cat / name).unlink()
    assert load(folder).fingerprint == whole.fingerprint
    monkeypatch.setattr("edgewidth.stages.train.train", enough)
    (cat / "3.png").write_bytes(b"nothing")
    words = ["train", "--data", str(folder), "--resolution", "24", "--out", str(folder / "out")]
    assert exit_code(words) == 2
    printed = capsys.readouterr().err
    assert "3.png is no" in printed
    assert "--skip-bad" in printed
    assert exit_code([*words, "--skip-bad"]) == 2
    printed = capsys.readouterr().err
    assert "1 file that cannot be read left out, the first of them: " in printed
    assert "Error: enough" in printed


def test_what_is_no_image_is_left_out_where_that_is_wanted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Notes and formats that are not read, as bad files are; without the option the message names it."""
    plain = load(folder)
    for name in ("notes.txt", "13.tif"):
        (folder / "train" / "cat" / name).write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"13\.tif is no image") as error:
        load(folder)
    assert "`skip_bad`" in (error.value.remedy or "")
    assert load(folder, skip_bad=True, progress=Lines()).fingerprint == plain.fingerprint
    assert "2 files without the ending of an image left out, such as " in capsys.readouterr().err


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    """It is told, or left out, as what is no image."""
    plain = load(folder)
    os.mkfifo(folder / "train" / "cat" / "13.png")
    with pytest.raises(DataError, match=r"13\.png is no file of pixels"):
        load(folder)
    assert load(folder, skip_bad=True).fingerprint == plain.fingerprint


def test_links_count_as_what_they_lead_to(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """To a file, or to a folder of them inside of a class; one that leads to nothing or into itself is told."""
    elsewhere, cat = tmp_path_factory.mktemp("elsewhere"), folder / "train" / "cat"
    for i in range(5):
        smooth().save(elsewhere / f"{i}.png")
    (cat / "batch").symlink_to(elsewhere)
    (cat / "one.png").symlink_to(elsewhere / "0.png")
    data = load(folder)
    assert len(data.train) + len(data.search) + len(data.holdout) == 24 + 5 + 1
    (cat / "again").symlink_to(cat)
    with pytest.raises(DataError, match="again is a link to a folder that it lies in"):
        load(folder)
    (cat / "again").unlink()
    (folder / "val" / "bird").symlink_to(folder / "gone")
    with pytest.raises(DataError, match="bird is a link to what is not there"):
        load(folder)


def test_a_folder_that_may_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images were left out, and a class of them was said to have none."""
    shut = folder / "train" / "dog" / "more"
    shut.mkdir()
    scandir = os.scandir

    def refused(path: Path) -> Any:
        if path == shut:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr("edgewidth.data.listing.os.scandir", refused)
    with pytest.raises(DataError, match="more could not be read: Permission denied"):
        load(folder)


def enough(*_: Any, **__: Any) -> None:
    """Instead of training."""
    raise InputError("enough")


def test_a_class_whose_files_are_all_bad_is_told(folder: Path) -> None:
    for file in (folder / "train" / "cat").iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"None of the images in .*cat can be read"):
        load(folder, skip_bad=True)


def test_accuracies_say_over_how_many_classes_they_are(folder: Path) -> None:
    for file in (folder / "val" / "dog").iterdir():
        file.unlink()
    assert data_facts(load(folder)).untested_text == "dog has no test images: accuracies are over 1 of 2."


def composed_in_train(folder: Path) -> tuple[str, ...] | str:
    """The same name, its accent written in two ways."""
    (folder / "train" / "cat").rename(folder / "train" / unicodedata.normalize("NFC", "café"))
    (folder / "val" / "cat").rename(folder / "val" / unicodedata.normalize("NFD", "café"))
    return ("café", "dog")


def twice_in_train(folder: Path) -> tuple[str, ...] | str:
    """Both ways on one side."""
    (folder / "train" / "cat").rename(folder / "train" / unicodedata.normalize("NFC", "café"))
    (folder / "train" / "dog").rename(folder / "train" / unicodedata.normalize("NFD", "café"))
    return "has two folders for the class 'café'"


def not_utf_8(folder: Path) -> tuple[str, ...] | str:
    """Latin-1, as an old archive has it."""
    for part in ("train", "val"):
        os.rename(os.fsencode(folder / part / "cat"), os.fsencode(folder / part) + b"/caf\xe9")  # noqa: PTH104 - bytes
    return "has bytes in its name that are not UTF-8"


def named(name: str) -> Callable[[Path], tuple[str, ...] | str]:
    """A change of a class's name that keeps it."""

    def change(folder: Path) -> tuple[str, ...] | str:
        for part in ("train", "val"):
            (folder / part / "cat").rename(folder / part / name)
        return "no line of text" if "\n" in name or not name.strip() else tuple(sorted((name, "dog")))

    return change


@pytest.mark.parametrize(
    "change",
    [composed_in_train, twice_in_train, not_utf_8, *map(named, ("a,b", " blank ", "two\nlines", "<b>&", " ", "日本"))],
)
def test_names_of_classes_survive_or_are_refused(folder: Path, change: Callable[[Path], tuple[str, ...] | str]) -> None:
    """With one line a class in labels.txt."""
    expected = change(folder)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            load(folder)
        return
    task = load(folder).task
    assert task.output_names == expected
    assert task.companions()["labels.txt"].decode() == "".join(f"{name}\n" for name in expected)


def arrays(**changes: Any) -> dict[str, Any]:
    """Sixty images of three classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 24, 24, 3), np.uint8)
    labels = np.arange(60) % 3
    return {"x_train": images, "y_train": labels, "x_test": images[:30], "y_test": labels[:30]} | changes


NAMES = np.array(["ant", "bee", "cow"])


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": NAMES},
        {"class_names": NAMES.astype("S")},
        {"y_train": NAMES[np.arange(60) % 3], "y_test": NAMES[np.arange(30) % 3]},
        {"y_train": NAMES.astype("S")[np.arange(60) % 3], "y_test": NAMES.astype("S")[np.arange(30) % 3]},
        {"y_train": np.eye(3)[np.arange(60) % 3], "y_test": np.eye(3, dtype=bool)[np.arange(30) % 3]}
        | {"class_names": NAMES},
        {"y_train": (np.arange(60) % 3).astype(float)[:, None], "class_names": NAMES},
    ],
)
def test_labels_of_every_kind_are_understood(changes: dict[str, Any]) -> None:
    """Numbers, text, bytes, one-hot rows and whole floating-point numbers: all say the same."""
    data, plain = load(arrays(**changes)), load(arrays())
    assert data.task.output_names == ("ant", "bee", "cow")
    for part in ("train", "search", "holdout", "test"):
        assert np.array_equal(getattr(data, part).targets, getattr(plain, part).targets)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": NAMES[:2]}, "class_names has 2 names, and labels go from 0 to 2"),
        ({"class_names": np.array(["a", "b", "a"])}, "two labels have the name 'a'"),
        ({"class_names": np.arange(3)}, "class_names must be one name per class"),
        ({"class_names": np.array(["a", "b\n", "c"])}, "no line of text"),
        ({"class_names": np.array([b"a", b"\xff", b"c"])}, "class_names has bytes that are not UTF-8"),
        ({"y_test": NAMES[np.arange(30) % 3]}, "y_train is int64, and y_test is <U3"),
        ({"y_train": np.zeros((60, 3))}, "y_train must be one whole number or name per image"),
        ({"y_train": np.full(60, np.nan)}, "y_train must be one whole number or name per image"),
    ],
)
def test_labels_that_say_nothing_are_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(arrays(**changes))


def test_endings_may_be_large(tmp_path: Path) -> None:
    np.savez(tmp_path / "D.npz", **arrays())
    (tmp_path / "D.npz").rename(tmp_path / "D.NPZ")
    assert len(load(tmp_path / "D.NPZ").test) == 30
    np.save(tmp_path / "d.npy", arrays()["x_train"])
    with pytest.raises(DataError, match="is one array"):
        load(tmp_path / "d.npy")
