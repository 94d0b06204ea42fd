"""What docs/troubleshooting.md quotes is what the code says, word for word."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^#### (.+)$", PAGE, re.MULTILINE)
OWN_SHARE = 0.8
"""What share of a message's letters must be the code's own: a text of blanks alone would match anything."""


def letters(text: str) -> int:
    """How many a text has."""
    return sum(letter.isalpha() for letter in text)


def templates() -> dict[re.Pattern[str], int]:
    """Every text of the code as a pattern, with anything where it puts a value in, and how many letters are its own."""
    found = {}
    for path in (ROOT / "edgewidth").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                split = re.split(r"(\{\w+\})", node.value)  # what str.format fills in later
                parts = [None if place % 2 else part for place, part in enumerate(split)]
            else:
                continue
            pattern = "".join(".+" if part is None else re.escape(part) for part in parts)
            found[re.compile(pattern)] = letters("".join(part or "" for part in parts))
    return found


TEMPLATES = templates()


def is_said(message: str) -> bool:
    """Whether the code has a text of which a message is an example."""
    least = OWN_SHARE * letters(message)
    return any(own >= least and pattern.fullmatch(message) for pattern, own in TEMPLATES.items())


@pytest.mark.parametrize("message", QUOTED)
def test_the_code_says_so(message: str) -> None:
    assert is_said(message)


@pytest.mark.parametrize("message", QUOTED)
def test_another_text_is_noticed(message: str) -> None:
    """The longest word changed, and what is quoted is nowhere to be found."""
    longest = max(re.findall(r"[A-Za-z]+", message), key=len)
    assert not is_said(message.replace(longest, "quux", 1))


def test_there_are_many() -> None:
    assert len(QUOTED) == len(set(QUOTED)) >= 40
