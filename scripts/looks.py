"""Opens reports in Chromium as people do, keeps pictures of them, and tells what is wrong with their looks.

Every page is opened at desktop and phone width, light and dark, and printed. Pictures go to the folder ``looks``.
Wrong are: a page wider than its window, tables whose last rows only scrolling shows, text outside its picture or on
other text, errors of the console, text with less contrast than WCAG 2.2 asks for at level AA (over the colours really
beneath it, in pictures too), what the keyboard reaches and a screen reader cannot name, what the keyboard does not
reach, figures without a name or without their numbers, and headings that leave out a level or do not begin with the
page's one title.

Usage: looks.py [REPORT.html …] [--out FOLDER]; without a report those of the sample which the tests use, and their
comparison. Exit code 1: something is wrong.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

LIMIT_MS = 90_000
_JAVASCRIPT = Path(__file__).with_suffix(".js")


class View(NamedTuple):
    """One way to look at a page."""

    name: str
    width: int
    scheme: Literal["light", "dark"]
    media: Literal["screen", "print"]


VIEWS = (
    View("desktop-light", 1280, "light", "screen"),
    View("desktop-dark", 1280, "dark", "screen"),
    View("phone-light", 390, "light", "screen"),
    View("phone-dark", 390, "dark", "screen"),
    # A4 between Chromium's own margins; a printer's paper is white whatever the screen was.
    View("print", 720, "dark", "print"),
)


def chromium() -> str | None:
    """The system's own Chromium; None: there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        # Containers give a browser no sandbox of its own; the page is ours.
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=LIMIT_MS)
        try:
            yield opened
        finally:
            opened.close()


def look(opened: Browser, report: Path, out: Path) -> list[str]:
    """What is wrong with a report in any view; its pictures are in ``out``."""
    found = [f"{view.name}: {one}" for view in VIEWS for one in _look(opened, report, out, view)]
    return list(dict.fromkeys(found))


def _look(opened: Browser, report: Path, out: Path, view: View) -> list[str]:
    page = opened.new_page(viewport={"width": view.width, "height": 900}, color_scheme=view.scheme)
    page.set_default_timeout(LIMIT_MS)
    found: list[str] = []
    page.on("console", lambda message: found.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(f"console: {error}"))
    page.emulate_media(media=view.media, color_scheme=view.scheme)
    page.goto(report.absolute().as_uri())
    page.screenshot(path=out / f"{report.stem}-{view.name}.png", full_page=True)
    if view.media == "print":
        page.pdf(path=out / f"{report.stem}.pdf", format="A4", print_background=True)
    found += _checked(page, view)
    if view.media == "screen":
        found += _keyboard(page)
        found += _screen_reader(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found += [f"{one}, with all numbers unfolded" for one in _checked(page, view)]
    page.close()
    return found


def _checked(page: Page, view: View) -> list[str]:
    """What the page's own geometry and colours say; all of it is in the window, so that every point can be asked."""
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": view.width, "height": height})
    found: list[str] = page.evaluate(_JAVASCRIPT.read_text(encoding="utf-8"))
    page.set_viewport_size({"width": view.width, "height": 900})
    return found


def _keyboard(page: Page) -> list[str]:
    """What the Tab key does not reach, reaches out of order, or reaches without showing it."""
    wanted: list[str] = page.evaluate("""() => [...document.querySelectorAll('a[href], summary, [tabindex="0"]')]
        .filter(one => one.checkVisibility()).map((one, place) => { one.dataset.place = place; return place + ''; })""")
    reached, found = [], []
    for _ in wanted:
        page.keyboard.press("Tab")
        place, text, outline = page.evaluate("""() => { const one = document.activeElement;
            return [one.dataset.place, one.textContent.trim().slice(0, 40), getComputedStyle(one).outlineStyle]; }""")
        reached.append(place)
        if outline == "none":
            found.append(f"the keyboard's focus does not show on {text!r}")
    if reached != wanted:
        found.append(f"the Tab key goes {reached} instead of {wanted}")
    return found


def _screen_reader(page: Page) -> list[str]:
    """What the accessibility tree has no name for, and figures whose numbers it lacks."""
    session: CDPSession = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    found = []
    for node in nodes:
        role = node.get("role", {}).get("value")
        focusable = any(one["name"] == "focusable" and one["value"].get("value") for one in node.get("properties", ()))
        named = (node.get("name", {}).get("value") or "").strip()
        wants = role in {"figure", "image", "img"} or (focusable and role != "RootWebArea")
        if not node.get("ignored") and wants and not named:
            found.append(f"a screen reader has no name for a {role}")
    figures: list[list[str]] = page.evaluate("""() => [...document.querySelectorAll('figure')].map(one => [
        one.querySelector('h3, figcaption')?.textContent.trim().slice(0, 60) || '',
        one.querySelector('table') ? 'table' : [...one.querySelectorAll('svg[role=img]')]
            .some(svg => /\\d/.test(svg.getAttribute('aria-label') || '')) ? 'label' : ''])""")
    found += [f"the figure {title!r} has no numbers for a screen reader" for title, has in figures if not has]
    levels: list[int] = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(one => +one.tagName[1])")
    if levels[:1] != [1] or levels.count(1) != 1 or any(below > above + 1 for above, below in pairwise(levels)):
        found.append(f"the headings' levels are {levels}")
    return found


def main() -> int:
    """Look at the reports that were named, and print what is wrong with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("looks"))
    options = parser.parse_args()
    program = chromium()
    if program is None:
        print("There is no Chromium. On Debian: sudo apt install chromium", file=sys.stderr)
        return 3
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser(program) as opened:
        reports = options.reports or _sample(Path(folder))
        found = [f"{report}: {one}" for report in reports for one in look(opened, report, options.out)]
    print("\n".join(found) or f"Nothing is wrong; the pictures are in {options.out}.")
    return 1 if found else 0


def _sample(folder: Path) -> list[Path]:
    from report.sample import comparison_page, report_page  # noqa: PLC0415  the tests' own, needed without a report

    return [report_page(folder), comparison_page(folder)]


if __name__ == "__main__":
    sys.exit(main())
