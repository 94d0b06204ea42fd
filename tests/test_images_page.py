"""What docs/images.md says of the files that come out: its program runs them as they are to be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from formats.cases import CLASS_NAMES, torch_logits
from PIL import Image

from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    import pytest
    from formats.cases import Exported

PAGE = (Path(__file__).parents[1] / "docs" / "images.md").read_text(encoding="utf-8")


def test_the_program_gives_what_the_network_gives(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every file, for an image that it reads itself; the page's run is of other images and another size."""
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    image = exported.arguments["test"].split.images[:1]
    (tmp_path / "flowers/val/rose").mkdir(parents=True)
    Image.fromarray(image[0]).save(tmp_path / "flowers/val/rose/1.jpg", "PNG")
    (tmp_path / "flowers-run").symlink_to(exported.folder.path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program.replace("96", "32"), "images.md", "exec"), names)  # noqa: S102 - our own words
    expected = torch_logits(exported.arguments["weights"], image)[0]
    assert capsys.readouterr().out.split() == [CLASS_NAMES[expected.argmax()]] * 2
    for artifact in exported.artifacts.artifacts:
        found = names[f"run_{artifact.format}"](f"flowers-run/{artifact.file}", names["values"])
        if artifact.precision is Precision.INT8:
            assert found.argmax() == expected.argmax()
        else:
            np.testing.assert_allclose(found, expected, atol=1e-4 if artifact.precision is Precision.FLOAT32 else 1e-2)
