"""Makes the pictures of the README and the site from a finished run.

``python -m scripts.pictures DIR`` makes ``docs/pictures/terminal.svg``, what ``edgewidth report DIR`` prints, and
``docs/pictures/report.png``, how the report opens in Chromium. ``--figures NAME`` makes in their place those figures of
the report that a page shows as ``docs/pictures/NAME-TITLE.svg``. The names, and the runs they are of:

    digits   edgewidth run --device emulator-cortex-a72 --recipe quick (that of the two pictures, too)
    fashion  edgewidth run --device ethos-u85-256 --budget 40% --data fashion_mnist.npz
    busy     edgewidth run, on a machine with other work

Run it with the environment that edgewidth is installed in.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from scripts.looks import LIMIT_MS, browser, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SIZE = (1200, 1150)
"""Of the report's picture: as far as the first figure."""
COLOURS = 128
"""Of that picture: more than the report has, and a third of the bytes."""
COLUMNS = 112
NAME = "demo"


def terminal(folder: Path, words: str) -> None:
    """What a run prints when it is done."""
    command = [sys.executable, "-m", "edgewidth", "report", NAME]
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / NAME).symlink_to(folder.resolve())
        printed = subprocess.run(command, cwd=temporary, capture_output=True, text=True, timeout=120, check=False)
    if not printed.stdout:
        sys.exit(printed.stderr)
    lines = printed.stdout.rstrip().splitlines()
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        console = Console(record=True, width=COLUMNS, file=nothing)
        console.print(Text(f"$ edgewidth run {words} --out {NAME}".replace("  ", " "), style="bold"))
        for line in lines:
            console.print(Text(line.rstrip()), soft_wrap=False, overflow="fold")
        svg = console.export_svg(title="edgewidth", theme=MONOKAI, font_aspect_ratio=0.61)
    # Nothing is fetched from elsewhere when a page is read: the reader's own font does.
    kept = [line for line in svg.splitlines() if "url(" not in line or "clip-path" in line]
    (PICTURES / "terminal.svg").write_text("\n".join(line.rstrip() for line in kept) + "\n", encoding="utf-8")


def report(page: Page) -> None:
    """How the report opens."""
    with tempfile.TemporaryDirectory() as temporary:
        shot = Path(temporary) / "report.png"
        page.screenshot(path=shot)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(COLOURS).save(PICTURES / "report.png", optimize=True)


def figures(page: Page, name: str) -> None:
    """The report's figures that the pages show under a run's name."""
    pages = (one.read_text(encoding="utf-8") for one in PICTURES.parent.glob("*.md"))
    wanted = {found for text in pages for found in re.findall(rf"\(pictures/{re.escape(name)}-([\w-]+)\.svg\)", text)}
    made: dict[str, str] = page.evaluate(Path(__file__).with_suffix(".js").read_text(encoding="utf-8"))
    if missing := wanted - made.keys():
        sys.exit(f"The report has no figures {', '.join(sorted(missing))}; it has {', '.join(made)}.")
    for old in PICTURES.glob(f"{name}-*.svg"):
        old.unlink()
    for title in wanted:
        (PICTURES / f"{name}-{title}.svg").write_text(f"{made[title]}\n", encoding="utf-8")


def main() -> None:
    """Into docs/pictures/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a run folder in which everything is done")
    parser.add_argument("--words", default="", help="the options that it was made with, for the picture's first line")
    parser.add_argument("--figures", metavar="NAME", help="its figures, by this name, in place of the two pictures")
    options = parser.parse_args()
    program = chromium()
    if program is None:
        sys.exit("Chromium is not installed: sudo apt install chromium")
    with browser(program) as opened:
        page = opened.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light")
        page.set_default_timeout(LIMIT_MS)
        page.goto((options.folder / "report.html").resolve().as_uri())
        if options.figures:
            figures(page, options.figures)
        else:
            terminal(options.folder, options.words)
            report(page)


if __name__ == "__main__":
    main()
