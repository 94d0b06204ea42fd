"""Images come in as they should, and what cannot be used is said in one message that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgewidth.data.split import HOLDOUT_MOST, SEARCH_MOST, data_facts, load_images
from edgewidth.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgewidth.data.split import ImageData


def _photo(path: Path, colour: int, *, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (colour, 10, 10) if mode == "RGB" else colour).save(path)


def _folder(root: Path, *, mode: str = "RGB", suffix: str = ".jpg", count: int = 12) -> Path:
    for part in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                _photo(root / part / name / f"{i}{suffix}", 200 * label + i, mode=mode)
    return root


def _arrays(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "x_train": rng.integers(0, 255, (40, 28, 28), dtype=np.uint8),
        "y_train": np.arange(40) % 4,
        "x_test": rng.integers(0, 255, (20, 28, 28), dtype=np.uint8),
        "y_test": np.arange(20) % 4,
    }
    return {name: value for name, value in (arrays | changes).items() if value is not None}


def _npz(path: Path, **changes: Any) -> str:
    np.savez(path / "images.npz", **_arrays(**changes))
    return str(path / "images.npz")


def _load(source: str, resolution: int = 32, seed: int = 0) -> ImageData:
    return load_images(source, resolution=resolution, seed=seed)


def test_digits_are_four_disjoint_sets() -> None:
    """All 1,797 digits are used once, with every class in every set."""
    data = _load("digits")
    parts = {"train": data.train, "search": data.search, "holdout": data.holdout, "test": data.test}
    assert sum(map(len, parts.values())) == 1797
    assert data.train.images.shape[1:] == (32, 32, 1)
    assert data.train.images.dtype == np.uint8
    for part in parts.values():
        assert set(part.targets) == set(range(10))
    facts = data_facts(data).model_dump()
    assert {name: facts[name] for name in parts} == {name: len(part) for name, part in parts.items()}


def test_sets_share_no_image(tmp_path: Path) -> None:
    """Every image of the source is in one set: told apart by the grey that each has alone."""
    greys = np.arange(200, dtype=np.uint8)
    x_train = np.broadcast_to(greys[:, None, None], (200, 32, 32))
    data = _load(_npz(tmp_path, x_train=x_train, y_train=np.arange(200) % 4))
    seen = np.concatenate([part[:, 0, 0, 0] for part in (data.train.images, data.search.images, data.holdout.images)])
    assert np.array_equal(np.sort(seen), greys)
    assert len(data.search.targets) == pytest.approx(20, abs=1)
    assert len(data.holdout.targets) == pytest.approx(20, abs=1)


def test_many_images_spare_a_bounded_number(tmp_path: Path) -> None:
    """More images would not tell configurations apart any better."""
    x_train = np.zeros((40_000, 1, 1), np.uint8)
    data = _load(_npz(tmp_path, x_train=x_train, y_train=np.arange(40_000) % 4), resolution=1)
    assert (len(data.search.targets), len(data.holdout.targets)) == (SEARCH_MOST, HOLDOUT_MOST)


def test_the_seed_splits_and_the_fingerprint_stays() -> None:
    """Another seed keeps other images for the search; what judges, and the fingerprint, are the data's own."""
    first, again, other = _load("digits"), _load("digits"), _load("digits", seed=1)
    assert np.array_equal(first.search.images, again.search.images)
    assert not np.array_equal(first.search.images, other.search.images)
    assert np.array_equal(first.test.images, other.test.images)
    assert first.fingerprint == other.fingerprint
    assert first.fingerprint != _load("digits", resolution=64).fingerprint


def test_npz_labels_become_class_indices(tmp_path: Path) -> None:
    """Labels may be any whole numbers; the search images are of every class in proportion."""
    y = np.repeat([3, 5], [30, 10])
    data = _load(_npz(tmp_path, y_train=y, y_test=np.tile([5, 3], 10)))
    assert data.task.output_names == ("3", "5")
    assert list(data.test.targets[:2]) == [1, 0]
    assert sorted(np.bincount(data.search.targets)) == [1, 3]


def test_arrays_in_memory_are_those_of_an_npz(tmp_path: Path) -> None:
    """Tensors too; what cannot be used is said alike."""
    ours = load_images({name: torch.from_numpy(a) for name, a in _arrays().items()}, resolution=32, seed=0)
    theirs = _load(_npz(tmp_path))
    assert (ours.source, ours.fingerprint) == ("arrays", theirs.fingerprint)
    assert np.array_equal(ours.search.images, theirs.search.images)
    with pytest.raises(DataError, match="arrays: x_train has 40 images, and y_train has 39 labels"):
        load_images(_arrays(y_train=np.arange(39) % 4), resolution=32, seed=0)
    with pytest.raises(DataError, match="arrays lacks the array y_test"):
        load_images(_arrays(y_test=None), resolution=32, seed=0)


def test_npz_class_names_and_colour(tmp_path: Path) -> None:
    """Class names come along, colour stays colour, and images of the right size stay as they are."""
    x = np.random.default_rng(1).integers(0, 255, (40, 32, 32, 3), dtype=np.uint8)
    names = np.array(["north", "east", "south", "west"])
    data = _load(_npz(tmp_path, x_train=x, x_test=x[:20], class_names=names))
    assert data.in_channels == 3
    assert data.task.output_names == ("north", "east", "south", "west")
    assert np.array_equal(data.test.images, x[:20])


@pytest.mark.parametrize(("mode", "suffix", "channels"), [("RGB", ".jpg", 3), ("L", ".png", 1), ("RGB", ".png", 3)])
def test_folder(tmp_path: Path, mode: str, suffix: str, channels: int) -> None:
    """A folder of images of any size is read at the resolution, and its classes are its folders, sorted."""
    data = _load(str(_folder(tmp_path, mode=mode, suffix=suffix)))
    assert data.task.output_names == ("cat", "dog")
    assert data.train.images.shape[1:] == (32, 32, channels)
    assert len(data.test.targets) == 24
    bright = data.test.images[data.test.targets == 1][..., 0].mean()
    assert bright == pytest.approx(205.5, abs=2)


def test_one_colour_image_makes_all_colour(tmp_path: Path) -> None:
    """Grey images among colour ones become colour."""
    folder = _folder(tmp_path, mode="L", suffix=".png")
    _photo(folder / "train" / "cat" / "red.png", 200)
    data = _load(str(folder))
    assert data.in_channels == 3
    greys = data.test.images[..., :1] == data.test.images
    assert greys.all()


def test_images_are_cropped_to_their_central_square(tmp_path: Path) -> None:
    """Nothing is squeezed: what lies outside the central square goes."""
    image = np.zeros((32, 96), np.uint8)
    image[:, 32:64] = 255
    x = np.repeat(image[None], 40, axis=0)
    data = _load(_npz(tmp_path, x_train=x))
    assert data.train.images.min() == 255


def test_a_turned_photograph_is_upright(tmp_path: Path) -> None:
    """The orientation that a camera wrote down is applied."""
    folder = _folder(tmp_path)
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    for i in range(12):
        Image.fromarray(pixels).save(folder / "val" / "cat" / f"{i}.jpg", exif=exif)
    data = _load(str(folder))
    upright = data.test.images[data.test.targets == 0]
    assert upright[:, :8].mean() < 20
    assert upright[:, -8:].mean() > 235


def _truncate(folder: Path) -> None:
    file = folder / "train" / "cat" / "3.jpg"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:-600])


def _text(folder: Path) -> None:
    (folder / "train" / "dog" / "notes.txt").write_text("hello")


def _disguised_text(folder: Path) -> None:
    (folder / "train" / "dog" / "notes.jpg").write_text("hello")


def _new_class(folder: Path) -> None:
    _photo(folder / "val" / "emu" / "0.jpg", 1)


def _empty_class(folder: Path) -> None:
    (folder / "train" / "emu").mkdir()


def _one_class(folder: Path) -> None:
    for part in ("train", "val"):
        (folder / part / "dog").rename(folder / f"{part}-dog")


def _no_val(folder: Path) -> None:
    (folder / "val").rename(folder / "test")


def _empty_val(folder: Path) -> None:
    _no_val(folder)
    (folder / "val").mkdir()


def _no_val_images(folder: Path) -> None:
    _empty_val(folder)
    (folder / "val" / "cat").mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_truncate, "3.jpg is damaged"),
        (_text, "notes.txt is no image that can be read"),
        (_disguised_text, "notes.jpg is no JPEG, PNG, WEBP, BMP, GIF"),
        (_new_class, "the class 'emu', which"),
        (_empty_class, "emu has no images"),
        (_one_class, "one class only, 'cat'"),
        (_no_val, "val does not exist"),
        (_empty_val, "val is empty"),
        (_no_val_images, "no test images"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    """Each thing that can be wrong with a folder has its sentence, with the file or class in it."""
    spoil(_folder(tmp_path))
    with pytest.raises(DataError) as error:
        _load(str(tmp_path))
    assert said in error.value.message
    assert error.value.remedy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"y_test": None}, "lacks the array y_test"),
        ({"y_train": np.arange(39) % 4}, "x_train has 40 images, and y_train has 39 labels"),
        ({"x_train": np.zeros((40, 28, 28), np.int32)}, "x_train is int32; images must be uint8"),
        ({"x_train": np.zeros((40, 28, 28), np.float32)}, "x_train is float32, and x_test is uint8"),
        ({"x_train": np.zeros((40, 3, 28, 28), np.uint8)}, "its channels come first"),
        ({"x_train": np.zeros((40, 28), np.uint8)}, "x_train is 40×28"),
        ({"x_train": np.zeros((40, 28, 28, 4), np.uint8)}, "images of 4 channels, one too many"),
        ({"x_test": np.zeros((20, 28, 28, 3), np.uint8)}, "x_train has 1 channels, and x_test has 3"),
        ({"y_test": np.arange(20)}, "y_test has the label 4, which y_train lacks"),
        ({"y_train": np.zeros(40, np.int64), "y_test": np.zeros(20, np.int64)}, "one class only"),
        ({"y_train": np.full(40, 0.5)}, "y_train must be one whole number or name per image"),
        ({"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.zeros(0, np.int64)}, "no test images"),
        ({"x_train": np.zeros((6, 28, 28), np.uint8), "y_train": np.arange(6) % 4}, "too few to train on"),
        ({"x_train": np.array([None] * 40)}, "not a readable .npz file"),
        (
            {
                "x_train": np.zeros((0, 28, 28), np.uint8),
                "y_train": np.zeros(0, np.int64),
                "x_test": np.zeros((0, 28, 28), np.uint8),
                "y_test": np.zeros(0, np.int64),
                "class_names": np.array(["cat", "dog"]),
            },
            "no training images",
        ),
    ],
)
def test_an_npz_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Each thing that can be wrong with an .npz has its sentence, with the array's name in it."""
    with pytest.raises(DataError) as error:
        _load(_npz(tmp_path, **changes))
    assert said in error.value.message
    assert error.value.remedy


def test_a_source_that_is_none(tmp_path: Path) -> None:
    """No such path, a file of another kind, a broken archive, an empty folder."""
    (tmp_path / "images.txt").write_text("hello")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "empty").mkdir()
    for name, said in {
        "nowhere": "does not exist",
        "images.txt": "is not a data source",
        "broken.npz": "is not a readable .npz file",
        "empty": "does not exist",
    }.items():
        with pytest.raises(DataError) as error:
            _load(str(tmp_path / name))
        assert said in error.value.message
        assert error.value.remedy


def test_more_images_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit in memory is said before it is decoded."""
    monkeypatch.setattr("edgewidth.data.folder.MEMORY_SHARE", 1e-9)
    with pytest.raises(DataError, match="images may take"):
        _load(str(_folder(tmp_path)))


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path: Path) -> None:
    """A 16-bit image is scaled to 8 bits, not cut off."""
    folder = _folder(tmp_path, mode="L", suffix=".png")
    half = np.full((32, 32), 32768, np.uint16)
    for i in range(12):
        Image.fromarray(half).save(folder / "val" / "cat" / f"{i}.png")
    data = _load(str(folder))
    assert data.in_channels == 1
    assert data.test.images[data.test.targets == 0].mean() == pytest.approx(128, abs=1)
