"""The pictures on the pages: told in words, small, of nothing from elsewhere, and none that no page shows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *DOCS.glob("*.md")]
PICTURES = sorted((DOCS / "pictures").iterdir())
SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
LIMIT_BYTES = 60_000


def shown() -> dict[Path, list[str]]:
    """The words for every picture that pages show."""
    found: dict[Path, list[str]] = {}
    for page in PAGES:
        for words, path in SHOWN.findall(page.read_text(encoding="utf-8")):
            found.setdefault((page.parent / path).resolve(), []).append(words)
    return found


def test_every_picture_is_shown_and_told_in_words() -> None:
    assert {path for path in shown() if path.parent.name == "pictures"} == set(PICTURES)
    for path, told in shown().items():
        assert all(len(words) > 20 for words in told), path


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_pictures_are_small_and_stand_alone(path: Path) -> None:
    assert path.stat().st_size <= LIMIT_BYTES
    if path.suffix == ".svg":
        text = path.read_text(encoding="utf-8")
        tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}  # noqa: S314  our own
        assert not {"script", "image", "foreignObject"} & tags
        assert not re.search(r"@import|url\((?!#)|href=\"(?!#)", text)


@pytest.mark.parametrize("path", [p for p in PICTURES if "-" in p.stem], ids=lambda path: path.name)
def test_figures_have_their_own_paper_in_light_and_dark(path: Path) -> None:
    """Every colour by name is there twice, and the figure has a name of its own and a key."""
    text = path.read_text(encoding="utf-8")
    light, dark = text.split("prefers-color-scheme: dark")
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert all(f"{name}:" in light and f"{name}:" in dark for name in used), used
    assert "--page" in used
    assert ET.fromstring(text).get("aria-label")  # noqa: S314  our own
    assert 'class="key"' in text
