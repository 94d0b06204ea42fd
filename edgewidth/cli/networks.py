"""A network by what ``--network`` calls it, and the search space around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgewidth.cli.terminal import printing_aside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewidth.capture.capture import Captured
    from edgewidth.cli.widths import WidthOptions
    from edgewidth.graph.space import SearchSpace
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.progress import Progress
    from edgewidth.resolution import Resolution


class Given(NamedTuple):
    """A search space, by layer why channels that it makes cannot vary, and what was captured."""

    space: SearchSpace
    fixed: Mapping[str, str]
    captured: Captured | None = None
    """None: it is a family."""


def read_network(
    text: str,
    widths: WidthOptions,
    *,
    resolution: Resolution | None,
    in_channels: int | None,
    num_classes: int | None,
    trained: bool = False,
) -> Given:
    """A family, or a network of someone's own; None stands for what it was published for, or takes by itself.

    Weights that a library has to fetch come only if the network is wanted ``trained``.

    Raises:
        InputError: There is no such network, or it does not fit such images and classes.
        SurroundingsError: A library is not installed, or its weights cannot be had.
    """
    from edgewidth.capture.load import is_own  # noqa: PLC0415  help stays instant
    from edgewidth.graph.families.ranges import space_around  # noqa: PLC0415
    from edgewidth.graph.families.registry import describe  # noqa: PLC0415

    if not is_own(text):
        network, bases = describe(text, resolution=resolution, in_channels=in_channels, num_classes=num_classes)
        space = space_around(network, bases, widths.ranges(with_base=False))
        return Given(space, {network.layers[-1].name: "these are the outputs"})
    from edgewidth.capture.capture import capture_named  # noqa: PLC0415  torch loads when it is needed
    from edgewidth.graph.normalised import with_batch_norm  # noqa: PLC0415

    with printing_aside():
        captured = capture_named(
            text, resolution=resolution, in_channels=in_channels, num_classes=num_classes, trained=trained
        )
    network = with_batch_norm(captured.network)
    space = space_around(network, captured.base_widths, widths.ranges(with_base=True))
    return Given(space, captured.fixed, captured)


def tell_branches(network: NetworkSpec, progress: Progress) -> None:
    """Say that a network adds up branches which networks of its kind have merged before they are used."""
    from edgewidth.graph.branches import summed_branches  # noqa: PLC0415  help stays instant

    if sums := summed_branches(network):
        progress.say(
            f"{network.family} adds up parallel convolutions, as in {sums[0]}, though one could do the same. Each is "
            "measured and exported as it stands. Where its library merges them, as timm.utils.reparameterize_model "
            "does, name a callable that returns the merged network."
        )
