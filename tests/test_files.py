"""Where files are kept between runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewidth.files import cache_folder


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"EDGEWIDTH_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"EDGEWIDTH_CACHE": "~/own"}, "/home/somebody/own"),
        ({"EDGEWIDTH_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/edgewidth"),
        ({"XDG_CACHE_HOME": ""}, "/home/somebody/.cache/edgewidth"),
        ({}, "/home/somebody/.cache/edgewidth"),
    ],
)
def test_the_cache_folder(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's own choice comes before the desktop's, and an empty variable counts as none."""
    monkeypatch.setenv("HOME", "/home/somebody")
    for name in ("EDGEWIDTH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
