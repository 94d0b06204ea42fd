"""Tests of the random weights that variants are cut from."""

import numpy as np
import pytest

from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.space import ChannelConfig

SPACE = search_space("mobilenet_v1", resolution=96, num_classes=10)
WEIGHTS = random_weights(SPACE.network, SPACE.widths(SPACE.largest), seed=0)


def bits(kernel: np.ndarray) -> float:
    """The entropy of a kernel as int8 holds it, each filter by its own largest number: bits for each weight."""
    filters = kernel.reshape(len(kernel), -1)
    whole = np.round(127 * filters / np.abs(filters).max(axis=1, keepdims=True)).astype(int)
    shares = np.bincount(whole.ravel() + 127) / whole.size
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


@pytest.mark.parametrize("config", [SPACE.smallest, *list(SPACE.uniforms())[::4], SPACE.largest], ids=str)
def test_a_cut_holds_as_much_as_normal_weights_of_its_own_width(config: ChannelConfig) -> None:
    cut = slice_weights(SPACE, config, WEIGHTS)
    rng = np.random.default_rng(1)
    for layer in SPACE.network.layers:
        if layer.kernel and cut[layer.name].kernel[0].size >= 100:
            kernel = cut[layer.name].kernel
            largest = np.abs(WEIGHTS[layer.name].kernel[: len(kernel)]).reshape(len(kernel), -1).max(axis=1)
            assert np.abs(kernel).reshape(len(kernel), -1).max(axis=1) == pytest.approx(largest, rel=1e-6)
            assert bits(kernel) == pytest.approx(bits(rng.standard_normal(kernel.shape)), rel=0.015)
