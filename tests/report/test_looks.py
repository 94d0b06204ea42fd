"""The report and the comparison in a real browser; and that what looks wrong is seen."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from report.sample import comparison_page, report_page
from support import require

LOOKS = Path(__file__).parents[2] / "scripts" / "looks.py"
LIMIT_S = 480

BAD = """<!DOCTYPE html><html lang="en"><head><meta name="viewport" content="width=device-width"><title>bad</title>
<style>body { background: #fff; } figure { margin: 0; }</style></head><body>
<p style="color: #767676">just enough</p><p style="color: #777777">too little</p>
<p style="color: #949494; font-size: 24px">large enough</p>
<p style="color: #fff; background: #000; opacity: .4">faded</p>
<div style="width: 1500px">wide</div>
<figure><svg role="img" viewBox="0 0 100 50" width="200"><rect width="100" height="50" fill="#222"/>
<text x="5" y="20" fill="#000">dark on dark</text><text x="5" y="40" fill="#fff">light on dark</text>
<text x="8" y="42" fill="#fff">collides</text></svg></figure>
<div tabindex="0" style="outline: none"></div>
<div class="scroll" style="height: 40px; overflow-y: auto"><p>first</p><p>last</p></div><h1>title</h1><h3>deep</h3>
<script>console.error("a defect")</script>
</body></html>"""


def looked(page: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """What the script says of a page."""
    arguments = [sys.executable, str(LOOKS), str(page), "--out", str(out)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.fixture(autouse=True)
def _has_chromium() -> None:
    require(shutil.which("chromium") or shutil.which("google-chrome"), "chromium (Debian: chromium)")


@pytest.mark.parametrize("make", [report_page, comparison_page])
def test_pages_look_right_everywhere(make: Callable[[Path], Path], tmp_path: Path) -> None:
    page = make(tmp_path)
    done = looked(page, tmp_path / "looks")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, []), done.stdout + done.stderr
    names = ("desktop-light", "desktop-dark", "phone-light", "phone-dark", "print")
    assert {path.name for path in (tmp_path / "looks").iterdir()} == {
        f"{page.stem}.pdf",
        *(f"{page.stem}-{name}.png" for name in names),
    }


def test_what_looks_wrong_is_seen(tmp_path: Path) -> None:
    """By the contrasts that the standard's own examples have: #767676 on white just passes, #777777 just fails."""
    page = tmp_path / "bad.html"
    page.write_text(BAD)
    done = looked(page, tmp_path / "looks")
    assert done.returncode == 1, done.stderr
    for said in (
        "px wider than its window",
        '"too little" has a contrast of 4.48',
        '"dark on dark" has a contrast of 1.3',
        '"faded" has a contrast',
        '"collides" lies on "light on dark" in a picture',
        "console: a defect",
        "a screen reader has no name for a figure",
        "has no numbers for a screen reader",
        "the keyboard's focus does not show",
        '"first last" ends below what is shown',
        "the headings' levels are [1, 3]",
    ):
        assert said in done.stdout, (said, done.stdout)
    for fine in ("just enough", "large enough"):
        assert f'"{fine}" has a contrast' not in done.stdout
