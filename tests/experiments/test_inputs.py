"""Images and weights that an experiment begins with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from imagenet import copy_imagenet
from jpeg_npz import converted
from other_networks import other_network
from PIL import Image
from protocol import load_data

from edgewidth.graph.families.registry import search_space
from edgewidth.training.networks.inference import fold_tensors, run_folded
from edgewidth.training.networks.plain import PlainNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray


SPLITS = (("train", 80), ("test", 30))


def test_only_the_first_images_train(tmp_path: Path) -> None:
    """Those that are tested stay."""
    rng, path = np.random.default_rng(0), tmp_path / "images.npz"
    arrays: dict[str, NDArray[np.generic]]
    arrays = {f"x_{split}": rng.integers(0, 256, (count, 8, 8, 1), np.uint8) for split, count in SPLITS}
    arrays |= {f"y_{split}": np.arange(count) % 2 for split, count in SPLITS}
    np.savez(path, **arrays)  # type: ignore[arg-type]  # its keywords are arrays, but for one it knows
    data = load_data(str(path), resolution=8, first_images=50)
    kept = np.concatenate([part.images for part in (data.train, data.search, data.holdout)])
    assert sorted(image.tobytes() for image in kept) == sorted(image.tobytes() for image in arrays["x_train"][:50])
    assert len(data.test) == 30


def test_imagenet_weights_compute_what_their_authors_network_does(tmp_path: Path) -> None:
    theirs, path = other_network("efficientnet_lite0"), tmp_path / "theirs.pth"
    torch.save(theirs.state_dict(), path)
    space = search_space("efficientnet_lite0", resolution=64, num_classes=1000, min_width=1.0, max_width=1.0)
    network = PlainNetwork(space, space.largest)
    copy_imagenet(network, path)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    weights = fold_tensors(network.weights(), network.moments)
    with torch.inference_mode():
        ours, expected = run_folded(space.network, network.widths, weights, images), theirs(images)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_jpeg_files_end_to_end_become_images() -> None:
    """One colour each, so that compression loses next to nothing."""
    files = []
    for level in (10, 200):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (level, level, level)).save(stream, "JPEG")
        files.append(stream.getvalue())
    ends = np.cumsum([0, *map(len, files)])
    both = np.frombuffer(b"".join(files), np.uint8)
    source = {"class_names": np.array(["a", "b"])}
    for split in ("train", "test"):
        source |= {f"jpeg_{split}": both, f"offsets_{split}": ends, f"y_{split}": np.array([0, 1])}
    found = converted(source)
    assert found["x_train"].shape == (2, 8, 8, 3)
    assert [int(image[0, 0, 0]) for image in found["x_test"]] == pytest.approx([10, 200], abs=1)
