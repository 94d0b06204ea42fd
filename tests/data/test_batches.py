"""Batches hold every image as often as they should, varied as they should be, with its own target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from small_training import small_data

from edgewidth.data.augmentation import Augmentation
from edgewidth.data.batches import Batches, draw_pixels, vary
from edgewidth.data.sources import Split
from edgewidth.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATA = small_data()


def _unmoved(targets: torch.Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> torch.Tensor:
    del rows, columns
    return targets


def _batches(augmentation: Augmentation, split: Split = DATA.train, **changes: Any) -> Batches:
    options: dict[str, Any] = {
        "batch": 32,
        "move_targets": _unmoved,
        "seed": 0,
        "device": torch.device("cpu"),
        "dtype": torch.float32,
    }
    return Batches(split, augmentation=augmentation, **(options | changes))


def test_batches_cover_every_image_once_an_epoch() -> None:
    """Shuffled anew each epoch."""
    batches = _batches(Augmentation(shift=0.0))
    epochs = [torch.cat([batches[step].images for step in range(e * 4, e * 4 + 4)]) for e in range(2)]
    assert not torch.equal(*epochs)
    for images in epochs:
        ours = np.unique(images.flatten(1).numpy(), axis=0)
        theirs = np.unique(DATA.train.images.reshape(128, -1) / 127.5 - 1, axis=0)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_variation_shifts_and_mirrors_whole_images() -> None:
    """Every varied image is a shifted or mirrored original whose edge repeats."""
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    batch = torch.from_numpy(np.repeat(image, 200, axis=0))
    padded = np.pad(image[0, ..., 0], 1, mode="edge")
    shifted = [padded[y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    possible = {s.tobytes() for s in shifted} | {s[:, ::-1].tobytes() for s in shifted}
    pixels = draw_pixels(200, (8, 8), 0.125, np.random.default_rng(0), flips=True)
    seen = {v.tobytes() for v in vary(batch, pixels)[..., 0].numpy()}
    assert seen == possible
    pixels = draw_pixels(200, (8, 8), 0.125, np.random.default_rng(0), flips=False)
    unflipped = {v.tobytes() for v in vary(batch, pixels)[..., 0].numpy()}
    assert unflipped == {s.tobytes() for s in shifted}


def test_targets_move_along_with_their_images() -> None:
    """Masks whose pixels are told to be those of the images stay so whatever variation is drawn."""
    images = np.random.default_rng(0).integers(0, 255, (32, 9, 9, 1)).astype(np.uint8)

    def moved(masks: torch.Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> torch.Tensor:
        one_by_one = [
            mask[list(down)][:, list(across)] for mask, down, across in zip(masks, rows, columns, strict=True)
        ]
        return torch.stack(one_by_one)

    masks = Split(images, images[..., 0].astype(np.int64))
    batch = _batches(Augmentation(shift=0.3, flip="always"), masks, move_targets=moved)[0]
    torch.testing.assert_close((batch.images[:, 0] + 1) * 127.5, batch.targets.float())
    still = _batches(Augmentation(shift=0.0, flip="never"), masks, move_targets=moved)[0]
    assert not torch.equal(batch.targets, still.targets)


def test_shares_make_up_the_batch_of_one_process() -> None:
    """Image for image, with their variations; a batch is rounded down to what can be shared out."""
    varied = Augmentation(shift=0.2, flip="always")
    for step in (0, 5):
        whole = _batches(varied)[step]
        parts = [_batches(varied, share=share, shares=2)[step] for share in (0, 1)]
        assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
        assert torch.equal(whole.targets, torch.cat([part.targets for part in parts]))
    thirds = [_batches(varied, share=share, shares=3) for share in range(3)]
    assert [third.size for third in thirds] == [30, 30, 30]
    assert [len(third[0].targets) for third in thirds] == [10, 10, 10]
    with pytest.raises(DataError, match="too small to share it out to 9 processes"):
        _batches(varied, share=0, shares=9)
