#!/usr/bin/env python3
"""Makes the pictures of the README and the site from a finished run: scripts/pictures.py DIR.

``docs/pictures/terminal.svg`` is what ``edgewidth report DIR`` prints, ``docs/pictures/report.png`` how the report
opens in Chromium. Run it with the environment that edgewidth is installed in.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SIZE = (1200, 1150)
"""Of the report's picture: as far as the first figure."""
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


def report(folder: Path) -> None:
    """How the report opens."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed: sudo apt install chromium")
    with tempfile.TemporaryDirectory() as temporary:
        shot = Path(temporary) / "report.png"
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={shot}"]
        command += [f"--window-size={SIZE[0]},{SIZE[1]}", (folder / "report.html").resolve().as_uri()]
        subprocess.run(command, capture_output=True, timeout=120, check=True)
        shutil.copy(shot, PICTURES / "report.png")


def main() -> None:
    """Both, in docs/pictures/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a run folder in which everything is done")
    parser.add_argument("--words", default="", help="the options that it was made with, for the picture's first line")
    options = parser.parse_args()
    terminal(options.folder, options.words)
    report(options.folder)


if __name__ == "__main__":
    main()
