"""What models are measured with: nothing is guessed but a batch of one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgewidth.errors import InputError
from edgewidth.formats.feeds import choose_feed
from edgewidth.formats.format import TensorFacts
from edgewidth.records.inputs import Fill

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = TensorFacts("image", (-1, 3, -1, -1), "float32")
IDS = TensorFacts("ids", (-1, 16), "int64")
TEXT = TensorFacts("text", (1,), "string")
ANY = TensorFacts("any", None, "float32")


def test_an_open_batch_is_one() -> None:
    """Floating-point numbers are random, ids zeros, unless another fill is asked for."""
    [one] = choose_feed([IDS], {}, None).inputs
    assert (one.shape, one.values, one.opened) == ((1, 16), Fill.ZEROS, False)
    fixed = TensorFacts("x", (2, 8), "int8")
    assert [one.values for one in choose_feed([fixed, IDS], {}, None).inputs] == [Fill.RANDOM, Fill.ZEROS]
    assert [one.values for one in choose_feed([fixed, IDS], {}, Fill.ZEROS).inputs] == [Fill.ZEROS] * 2
    assert str(one) == "ids 1×16 int64, zeros"


@pytest.mark.parametrize(("name", "batch"), [("", 1), ("image", 1), ("image", 4)])
def test_open_sizes_are_those_asked_for(name: str, batch: int) -> None:
    [one] = choose_feed([IMAGE], {name: (batch, 3, 32, 48)}, None).inputs
    assert (one.shape, one.opened) == ((batch, 3, 32, 48), True)


@pytest.mark.parametrize(
    ("inputs", "shapes", "message"),
    [
        ([IMAGE], {}, r"image is 1×3×\?×\?"),
        ([IDS, IMAGE], {}, r"image is 1×3×\?×\?"),
        ([ANY], {}, "any is of any shape"),
        ([TensorFacts("x", (-1,), "float32")], {}, r"x is \?"),
        ([TensorFacts("s", None, "sequence")], {}, "takes sequence, with which edgewidth cannot measure"),
        ([IMAGE], {"": (1, 1, 32, 32)}, r"image is \?×3×\?×\?, and cannot be 1×1×32×32"),
        ([IMAGE], {"": (3, 32, 32)}, "cannot be 3×32×32"),
        ([IMAGE], {"picture": (1, 3, 32, 32)}, "no input picture; its inputs are image"),
        ([IMAGE, IDS], {"": (1, 3, 32, 32)}, "several inputs; its inputs are image, ids"),
        ([IMAGE], {"": (1, 3, 1 << 20, 1 << 10)}, "takes 12.9 GB"),
        ([TEXT], {}, "takes text, which cannot be made up"),
        ([TensorFacts("x", (1,), "bfloat16")], {}, "takes bfloat16, with which edgewidth cannot measure"),
    ],
)
def test_what_is_not_known_is_asked_for(inputs: list[TensorFacts], shapes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_feed(inputs, shapes, None)


def test_all_that_is_open_is_told_as_it_is_typed() -> None:
    """One option for each input; a single number has no sizes, and none of them is open."""
    rate = TensorFacts("rate", (), "int64")
    assert str(choose_feed([rate], {}, None).inputs[0]) == "rate one number int64, zeros"
    with pytest.raises(InputError, match="open") as caught:
        choose_feed([IMAGE, rate, ANY], {}, None)
    assert caught.value.remedy == (
        "Say which are meant: `input_shape=image=1x3x224x224` `input_shape=any=1x3x224x224`."
    )


def test_values_of_ones_own_decide_the_sizes(tmp_path: Path) -> None:
    """By name, or by any name where there is one input; the numbers arrive as they are."""
    path, image = tmp_path / "v.npz", np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.savez(path, image=image, ids=np.arange(16, dtype=np.int32)[None])
    feed = choose_feed([IDS, IMAGE], {}, path)
    assert [(one.shape, one.values) for one in feed.inputs] == [((1, 16), Fill.GIVEN), ((2, 3, 4, 5), Fill.GIVEN)]
    with np.load(io.BytesIO(feed.values)) as packed:
        np.testing.assert_array_equal(packed["0"], np.arange(16)[None])
        np.testing.assert_array_equal(packed["1"], image.astype(np.float32))
    np.savez(path, np.array(["hello"]))
    assert choose_feed([TEXT], {}, path).inputs[0].values is Fill.GIVEN


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ids": np.full((1, 16), 0.5)}, "ids takes int64, and its values are float64"),
        ({"ids": np.zeros((1, 15), int)}, r"ids is \?×16, and cannot be 1×15"),
        ({"other": np.zeros((1, 16), int), "ids": np.zeros((1, 16), int)}, "values for other, which is no input"),
        ({"ids": np.array([[None] * 16])}, "cannot be read as an .npz of numbers or text"),
    ],
)
def test_values_that_do_not_fit_are_told(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    """An array of objects is pickled, and never read."""
    path = tmp_path / "v.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message):
        choose_feed([IDS], {}, path)


def flagged(bit: int) -> bytes:
    """An .npz whose member says that it is encrypted (1) or a patch (0x20)."""
    target = io.BytesIO()
    np.savez(target, ids=np.zeros((1, 16), int))
    content = bytearray(target.getvalue())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + place] |= bit
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there"),
        (b"text", "cannot be read"),
        (b"PK\3\4", "cannot be read"),
        (flagged(0x01), "cannot be read"),
        (flagged(0x20), "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "v.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        choose_feed([IDS], {}, path)


def test_one_array_is_no_npz(tmp_path: Path) -> None:
    with (tmp_path / "v.npz").open("wb") as file:
        np.save(file, np.zeros((1, 16)))
    with pytest.raises(InputError, match=r"is one array and no \.npz"):
        choose_feed([IDS], {}, tmp_path / "v.npz")
