"""Every family is the published network: what it costs in all, layer by layer, and which of its widths vary."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from other_networks import ELSEWHERE, other_network, run_layers, widths_elsewhere

from edgewidth.errors import InputError
from edgewidth.graph.costs import costs
from edgewidth.graph.families.inverted_residual import rounded
from edgewidth.graph.families.registry import FAMILIES, search_space
from edgewidth.graph.space import ChannelConfig
from edgewidth.graph.widths import lengths, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.graph.families.builder import Described


class Published(NamedTuple):
    """What others count of a family, for the input that it was published for."""

    input: tuple[int | tuple[int, int], int]
    """Resolution and channels."""
    classes: int
    million_macs: float
    parameters: int
    in_norms: int
    """How many of these parameters each normalised channel has: 2 are trained; Keras adds mean, variance, a bias."""
    variables: int
    """As torch.export and a union-find over channels find them in other implementations."""


PHOTO = (224, 3)
PUBLISHED = {
    "mobilenet_v1": Published(PHOTO, 1000, 569, 4_231_976, 2, 14),
    "mobilenet_v2": Published(PHOTO, 1000, 300, 3_504_872, 2, 25),
    "mobilenet_v3_small": Published(PHOTO, 1000, 56, 2_542_856, 2, 27),
    "mobilenet_v3_large": Published(PHOTO, 1000, 219, 5_483_032, 2, 30),
    "efficientnet_lite0": Published(PHOTO, 1000, 407, 4_652_008, 2, 24),
    "resnet8": Published((32, 3), 10, 12.5, 78_666, 5, 6),
    "resnet18": Published(PHOTO, 1000, 1820, 11_689_512, 2, 12),
    "ds_cnn": Published(((49, 10), 1), 12, 2.7, 24_908, 5, 5),
}
"""Multiply-accumulates by the papers and the authors' pages, parameters by torchvision and the Keras models of MLPerf
Tiny. The page of EfficientNet-Lite also counts what is not a product with a weight."""


def described(family: str, **changes: Any) -> Described:
    """A family as it was published."""
    resolution, channels = PUBLISHED[family].input
    options = {"resolution": resolution, "in_channels": channels, "num_classes": PUBLISHED[family].classes}
    return FAMILIES[family].describe(**(options | changes))


def test_every_family_is_compared_with_what_is_published() -> None:
    """A new family needs a row here."""
    assert PUBLISHED.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", PUBLISHED)
def test_costs_are_the_published_ones(family: str) -> None:
    """Parameters to the last one, multiply-accumulates within 2 %, of EfficientNet-Lite0 within 6 %."""
    published = PUBLISHED[family]
    space = search_space(family, min_width=1, max_width=1)
    assert space.size == 1
    assert (space.network.resolution, space.network.in_channels, space.network.outputs) == (
        *published.input,
        published.classes,
    )
    counted = costs(space, space.smallest)
    widths = space.widths(space.smallest)
    normalised = sum(total(n.output.channels, widths) for n in space.network.layers if n.operator.normalised)
    # Folded, batch normalisation is one number for each channel.
    assert counted.parameters + (published.in_norms - 1) * normalised == published.parameters
    slack = 0.06 if family == "efficientnet_lite0" else 0.02
    assert counted.macs / 1e6 == pytest.approx(published.million_macs, rel=slack)
    assert len(space.variables) == published.variables
    assert space.smallest == ChannelConfig(described(family).base_widths)


@pytest.mark.parametrize("family", ELSEWHERE)
def test_layers_are_those_of_other_implementations(family: str) -> None:
    """Every kernel and the size of every map; a shortcut may come earlier or later."""
    ours = described(family)
    widths = widths_elsewhere(family, ours)
    weighted = [
        ((*lengths(layer.kernel, widths), 1, 1)[:4], layer.output.pixels)
        for layer in ours.network.layers
        if layer.kernel
    ]
    _, theirs = run_layers(other_network(family), torch.zeros(1, 3, 224, 224))
    assert Counter(weighted) == Counter((tuple(layer.kernel.shape), layer.pixels) for layer in theirs)


@pytest.mark.parametrize("family", FAMILIES)
def test_variables_are_named_in_the_order_of_first_use(family: str) -> None:
    """``w0`` to the last one, each with a base width."""
    found = described(family)
    assert found.network.variables == tuple(f"w{i}" for i in range(len(found.base_widths)))


def downsampling(family: str, resolution: int | tuple[int, int]) -> tuple[int, ...]:
    """The height of the map at each layer on the way from the input, repeated ones left out."""
    network = described(family, resolution=resolution).network
    heights = (size[0] for size in (layer.output.size for layer in network.layers) if size and size != (1, 1))
    return tuple(dict.fromkeys(heights))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("resolution", [8, 16, 32, 33, 64, 96, 224, (49, 10), (96, 128)])
def test_the_last_map_is_at_least_two_pixels(family: str, resolution: int | tuple[int, int]) -> None:
    """Small inputs are reduced less often; which widths vary does not depend on it."""
    found = described(family, resolution=resolution)
    last = next(layer for layer in found.network.layers if layer.name == "pool").reads[0]
    assert min(last.size) >= 2
    assert found.base_widths == described(family).base_widths
    assert found.network.variables == described(family).network.variables


@pytest.mark.parametrize(
    ("family", "resolution", "heights"),
    [
        ("mobilenet_v1", 64, (32, 16, 8, 4, 2)),
        ("mobilenet_v1", 32, (16, 8, 4, 2)),
        ("mobilenet_v3_small", 16, (8, 4, 2)),
        ("resnet18", 32, (16, 8, 4, 2)),
        ("resnet8", 32, (32, 16, 8)),
        ("resnet8", 8, (8, 4, 2)),
    ],
)
def test_only_steps_that_are_too_many_are_left_out(family: str, resolution: int, heights: Sequence[int]) -> None:
    """One at 32 pixels of networks that divide 224 pixels by 32."""
    assert downsampling(family, resolution) == heights


def test_the_last_step_but_one_is_left_out_first() -> None:
    """At 32 pixels MobileNet-v1 keeps its blocks of 512 channels at 4 pixels a side."""
    strides = [
        layer.operator.stride[0]  # type: ignore[attr-defined]  # of depthwise convolutions
        for layer in described("mobilenet_v1", resolution=32).network.layers
        if layer.operator.op == "depthwise"
    ]
    assert strides == [1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("resolution", "shown"), [(7, "7"), (1025, "1025"), ((96, 4), "96×4")])
def test_resolutions_that_do_not_fit(family: str, resolution: int | tuple[int, int], shown: str) -> None:
    """The message names the family and the sizes that it takes."""
    with pytest.raises(InputError, match=f"The resolution {shown} does not fit {family}") as caught:
        described(family, resolution=resolution)
    assert caught.value.remedy == "Use 8 to 1024 pixels a side."


@pytest.mark.parametrize(("width", "multiple"), [(4, 8), (16, 16), (18, 24), (22, 24), (60, 64), (61, 64), (240, 240)])
def test_squeezed_widths_are_rounded_as_the_authors_do(width: float, multiple: int) -> None:
    """The nearest multiple of 8, and the next one where more than a tenth would be lost: 16 is too few for 18."""
    assert rounded(width) == multiple


@pytest.mark.parametrize(
    ("resolution", "channels", "fingerprint"),
    [(32, 1, "1866afbe31227605"), (96, 3, "d91b1d2b70492a70"), (224, 3, "f8c108378227872e")],
)
def test_the_default_network_keeps_its_fingerprint(resolution: int, channels: int, fingerprint: str) -> None:
    """Tables and losses of earlier versions are found by it."""
    space = search_space("mobilenet_v1", resolution=resolution, in_channels=channels, num_classes=10)
    assert space.fingerprint == fingerprint


def test_unknown_families_name_the_known_ones() -> None:
    """All of them."""
    with pytest.raises(InputError, match="'resnet9000'") as caught:
        search_space("resnet9000", resolution=224, in_channels=3, num_classes=10)
    assert str(caught.value.remedy).endswith(", ".join(FAMILIES) + ".")
