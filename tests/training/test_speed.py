"""The speed of training, from times that are known, and from none that are too long."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from small_training import small_data, small_recipe, small_space

from edgewidth.graph.costs import costs
from edgewidth.graph.space import ChannelConfig
from edgewidth.training import speed
from edgewidth.training.speed import Speed, measure_speed, speeds

SPACE, DATA, RECIPE = small_space(), small_data(), small_recipe()


@pytest.mark.parametrize("truth", [Speed(0.02, 3e-9), Speed(0.0, 2e-8), Speed(0.01, 0.0)])
def test_both_parts_of_what_a_pass_takes_are_found(truth: Speed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though every first pass of so many images takes three times as long, and within the time that there is."""
    now, seen = 100.0, set[tuple[ChannelConfig, int]]()

    def seconds(config: ChannelConfig, images: int) -> float:
        nonlocal now
        took = truth.seconds(1, images * costs(SPACE, config).macs) * (1 if (config, images) in seen else 3)
        seen.add((config, images))
        now += took
        return took

    monkeypatch.setattr(time, "monotonic", lambda: now)
    *_, last = speeds(seconds, SPACE, 64)
    assert last == pytest.approx(truth)
    assert now - 100 < 2 * speed.TRYING_S


def test_real_passes_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "LONGEST_S", 60.0)  # on a busy machine too
    found = measure_speed(SPACE, DATA, RECIPE.supernet)
    assert found is not None
    assert 1e-5 < found.seconds(1, 32 * costs(SPACE, SPACE.largest).macs) < 10


def test_nobody_waits_for_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known by then is told."""
    known, forever = Speed(0.1, 1e-9), threading.Event()

    def slow(*_: object) -> Iterator[Speed]:
        yield known
        forever.wait(60)

    def never(*_: object) -> Iterator[Speed]:
        forever.wait(60)
        yield known

    monkeypatch.setattr(speed, "LONGEST_S", 0.5)
    monkeypatch.setattr(speed, "_measured", slow)
    assert measure_speed(SPACE, DATA, RECIPE.supernet) == known
    monkeypatch.setattr(speed, "_measured", never)
    assert measure_speed(SPACE, DATA, RECIPE.supernet) is None
    forever.set()


def test_what_fails_is_told_by_the_training_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Iterator[Speed]:
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(speed, "_measured", fails)
    assert measure_speed(SPACE, DATA, RECIPE.supernet) is None


GIVES_UP = """
from edgewidth.data.split import load_images
from edgewidth.graph.families.registry import search_space
from edgewidth.training import speed
from edgewidth.training.recipes import RECIPES

space = search_space("resnet18", resolution=64, in_channels=1, num_classes=10)
data = load_images("digits", resolution=64, seed=0)
speed.LONGEST_S = 0.2
assert speed.measure_speed(space, data, RECIPES["standard"].supernet) is None
raise SystemExit(3)
"""
"""It leaves while a pass that takes longer is under way."""


def test_leaving_in_the_middle_of_a_pass_is_no_crash() -> None:
    done = subprocess.run([sys.executable, "-c", GIVES_UP], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (3, "")
