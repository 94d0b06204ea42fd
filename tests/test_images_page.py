"""What docs/images.md says of the files that come out: its program runs them as they are to be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from formats.cases import CLASS_NAMES, torch_logits
from PIL import Image

from edgewidth.data.decoding import decode
from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    import pytest
    from formats.cases import Exported
    from numpy.typing import NDArray

ORIENTATION, QUARTER_TO_THE_RIGHT = 0x0112, 6
PAGE = (Path(__file__).parents[1] / "docs" / "images.md").read_text(encoding="utf-8")


def save_turned(image: NDArray[np.uint8], path: Path) -> None:
    """Save a larger image, with more on both sides, as a camera does that was held upright."""
    wide = Image.fromarray(np.pad(image, ((0, 0), (4, 4), (0, 0)), "edge")).resize((80, 64))
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TO_THE_RIGHT
    wide.transpose(Image.Transpose.ROTATE_90).save(path, "PNG", exif=exif)


def test_the_program_gives_what_the_network_gives(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every file, for a photograph that it reads itself; the page's run is of other images and another size."""
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    photo = tmp_path / "flowers/val/rose/1.jpg"
    photo.parent.mkdir(parents=True)
    save_turned(exported.arguments["test"].split.images[0], photo)
    image = decode(photo, (32, 32), 3)[None].copy()
    (tmp_path / "flowers-run").symlink_to(exported.folder.path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program.replace("96", "32"), "images.md", "exec"), names)  # noqa: S102 - our own words
    expected = torch_logits(exported.arguments["weights"], image)[0]
    np.testing.assert_allclose(names["values"], image / 127.5 - 1, atol=1e-6)
    assert capsys.readouterr().out.split() == [CLASS_NAMES[expected.argmax()]] * 2
    for artifact in exported.artifacts.artifacts:
        found = names[f"run_{artifact.format}"](f"flowers-run/{artifact.file}", names["values"])
        if artifact.precision is Precision.INT8:
            assert found.argmax() == expected.argmax()
        else:
            np.testing.assert_allclose(found, expected, atol=1e-4 if artifact.precision is Precision.FLOAT32 else 1e-2)
