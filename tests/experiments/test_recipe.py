"""A recipe with other numbers, and what is printed of a network that was trained by it."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest
import recipe

from edgewidth.errors import InputError
from edgewidth.training.recipes import RECIPES


def test_numbers_are_read_as_what_they_are() -> None:
    """Whole ones whole, and nothing else changes."""
    phase = RECIPES["standard"].finetune
    found = recipe.changed(phase, ["passes=3", "weight_decay=1e-3"])
    assert found == replace(phase, passes=3, weight_decay=1e-3)


@pytest.mark.parametrize("text", ["passes=3.5", "passes", "decay=1", "augmentation=none"])
def test_what_is_no_number_of_a_phase_is_told(text: str) -> None:
    with pytest.raises(InputError, match=text.partition("=")[0]):
        recipe.changed(RECIPES["standard"].finetune, [text])


def test_a_network_is_trained_and_judged(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One pass over the digits' training images, judged by those that were kept out of training."""
    arguments = ["--data", "digits", "--width", "0.2", "--set", "images=0", "--set", "passes=1"]
    monkeypatch.setattr(sys, "argv", ["recipe.py", *arguments])
    recipe.main()
    first, second = capsys.readouterr().out.splitlines()
    assert ": 1 passes over 1," in first
    found = re.fullmatch(r"(\d+) others: ([\d.]+) %, [\d.]+ nats", second)
    assert found is not None
    kept_out, percent = found.groups()
    assert int(kept_out) > 100
    assert 0 <= float(percent) <= 100
