"""Features are taken as they are, and images of any proportions and channels are scaled alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgewidth.data.augmentation import Augmentation
from edgewidth.data.batches import Batches
from edgewidth.data.fitting import fit, fit_all
from edgewidth.data.pixels import normalise
from edgewidth.data.split import load_images
from edgewidth.errors import DataError
from edgewidth.progress import Lines

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edgewidth.resolution import Resolution


def _features(shape: tuple[int, ...] = (49, 10), **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.normal(-3, 5, (60, *shape)).astype(np.float32),
        "y_train": np.arange(60) % 3,
        "x_test": rng.normal(-3, 5, (30, *shape)).astype(np.float32),
        "y_test": np.arange(30) % 3,
    }
    return arrays | changes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_stay_as_they_are(dtype: type[np.floating[Any]]) -> None:
    """Every value, whatever the precision they are stored in; each example is in one set."""
    arrays = {name: a.astype(dtype) if name.startswith("x") else a for name, a in _features().items()}
    data = load_images(arrays, resolution=None, seed=0)
    assert (data.resolution, data.in_channels) == ((49, 10), 1)
    assert np.array_equal(data.test.images[..., 0], arrays["x_test"].astype(np.float32))
    assert np.array_equal(normalise(data.test.images), data.test.images)
    parts = np.concatenate([part.images for part in (data.train, data.search, data.holdout)])
    assert np.array_equal(np.sort(parts, axis=None), np.sort(arrays["x_train"].astype(np.float32), axis=None))


def test_features_are_not_varied() -> None:
    """A batch holds what was read: shifts and mirrors mean something in images alone."""
    data = load_images(_features((8, 8, 3)), resolution=None, seed=0)
    batches = Batches(
        data.train,
        batch=len(data.train),
        augmentation=Augmentation(shift=0.5, flip="always"),
        move_targets=data.task.objective().moved,
        seed=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    found = batches[0].images.permute(0, 2, 3, 1).flatten(1).numpy()
    assert np.array_equal(np.sort(found, axis=0), np.sort(data.train.images.reshape(found.shape), axis=0))


@pytest.mark.parametrize(
    ("changes", "resolution", "said"),
    [
        ({}, 32, "are 49×10, and features are not scaled to 32"),
        ({"x_test": np.zeros((30, 49, 12), np.float32)}, None, "x_train has 49×10×1 values, and x_test has 49×12×1"),
        ({"x_train": np.full((60, 49, 10), np.nan)}, None, "not finite, the first in example 0"),
        ({"x_train": np.linspace(0, 255, 60 * 490).round().reshape(60, 49, 10)}, None, "8-bit pixels as float32"),
        ({"x_train": (np.arange(60 * 490) % 256 / 255).reshape(60, 49, 10)}, None, "8-bit pixels as float32"),
        (
            {"x_train": (np.arange(60 * 490) % 256 / 255).reshape(60, 49, 10).astype(np.float16)},
            None,
            "8-bit pixels as float32",
        ),
    ],
)
def test_features_that_cannot_be_used(changes: dict[str, Any], resolution: Resolution | None, said: str) -> None:
    """Each with a sentence that tells what and what to do."""
    with pytest.raises(DataError) as error:
        load_images(_features(**changes), resolution=resolution, seed=0)
    assert said in error.value.message
    assert error.value.remedy


@pytest.mark.parametrize(
    "stored",
    [
        np.random.default_rng(0).integers(0, 256, (60, 9, 9)),
        np.random.default_rng(0).integers(0, 65536, (60, 9, 9)).astype(np.uint16),
        np.random.default_rng(0).integers(-128, 128, (60, 9, 9)).astype(np.int8),
        np.random.default_rng(0).random((60, 9, 9)) > 0.5,
        np.random.default_rng(0).integers(0, 2, (60, 9, 9)),
    ],
)
def test_what_makes_pixels_of_other_numbers_keeps_their_order(stored: NDArray[np.generic]) -> None:
    """From black to white: one byte would cut off 16 bits, and leave nothing of zeros and ones to see."""
    with pytest.raises(DataError, match="images must be uint8") as error:
        load_images(_features(x_train=stored), resolution=None, seed=0)
    [told] = re.findall(r"pixels as (.*), and features", error.value.remedy or "")
    pixels = eval(told, {"x": stored})  # noqa: S307 - our own words
    assert pixels.dtype == np.uint8
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.all(np.diff(pixels.reshape(-1)[np.argsort(stored, axis=None)].astype(int)) >= 0)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((49, 10), "49×10 values, taken"), ((3, 32, 32), "3×32 values in 32 channels (if channels come first, ")],
)
def test_the_shape_of_features_is_said(shape: tuple[int, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever stored channels first, as torch does, sees it there."""
    load_images(_features(shape), resolution=None, seed=0, progress=Lines())
    assert said in capsys.readouterr().err


def test_images_that_are_not_square(tmp_path: Path) -> None:
    """Cropped about the middle to the proportions that are asked for, height first, and scaled as Pillow does."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(12):
                photo = rng.integers(0, 255, (60, 100, 3), dtype=np.uint8)
                Image.fromarray(photo).save(tmp_path / part / name / f"{i}.png")
    data = load_images(str(tmp_path), resolution=(20, 10), seed=0)
    assert data.resolution == (20, 10)
    with Image.open(tmp_path / "val" / "cat" / "0.png") as first:
        cropped = first.crop((35, 0, 65, 60)).resize((10, 20), Image.Resampling.BILINEAR)
    # At the sides edgewidth's scaling sees what was cropped away.
    assert np.array_equal(data.test.images[0][:, 1:-1], np.asarray(cropped)[:, 1:-1])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_every_channel_is_scaled_by_itself(channels: int) -> None:
    """Whether Pillow knows images of so many channels or not."""
    images = np.random.default_rng(0).integers(0, 255, (4, 30, 20, channels), dtype=np.uint8)
    fitted = fit_all(images, (12, 16))
    assert fitted.shape == (4, 12, 16, channels)
    for channel in range(channels):
        alone = fit(Image.fromarray(images[2, :, :, channel]), (12, 16))
        assert np.array_equal(fitted[2, :, :, channel], alone[..., 0])
