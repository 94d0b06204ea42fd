"""``edgewidth network``: what a network is made of, and what of it can be searched."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from rich.table import Table

from edgewidth.cli import options as shared
from edgewidth.cli.networks import read_network, tell_branches
from edgewidth.cli.output import print_result, print_table
from edgewidth.cli.progress import TerminalProgress
from edgewidth.cli.record import argument, option, verb
from edgewidth.cli.terminal import echo
from edgewidth.cli.values import TableFormat
from edgewidth.cli.widths import WidthOptions

if TYPE_CHECKING:
    from edgewidth.cli.networks import Given
    from edgewidth.records.network import NetworkSummary


@dataclass(frozen=True)
class Options:
    """What ``edgewidth network`` takes."""

    network: Annotated[str, argument(metavar="NET")]
    data: Annotated[
        str | None,
        option(
            "--data",
            help="Images whose size and classes the network is to have, as for edgewidth train.  "
            "[default: what it was published for]",
        ),
    ]
    resolution: shared.ResolutionOption
    widths: WidthOptions
    table_format: shared.FormatOption
    as_json: shared.JsonOption


@verb("network", Options)
def command(options: Options) -> None:
    """What NET is made of: layers, width variables with their ranges, what is fixed and why, what it costs.

    NET is a family's name, file.py:callable or package.module:callable that makes a torch.nn.Module, a .pt2,
    timm:NAME or torchvision:NAME.
    """
    from edgewidth.records.network import NetworkSummary  # noqa: PLC0415  help stays instant

    given = _given(options)
    tell_branches(given.space.network, TerminalProgress())
    summary = NetworkSummary.of(given.space, dict(given.fixed))
    print_result(summary, as_json=options.as_json, text=lambda: _print(summary, options.table_format))


def _given(options: Options) -> Given:
    resolution, in_channels, num_classes = options.resolution, None, None
    if options.data is not None:
        from edgewidth.data.split import load_images  # noqa: PLC0415  help stays instant

        data = load_images(options.data, resolution=resolution, seed=0, progress=TerminalProgress())
        resolution, in_channels, num_classes = data.resolution, data.in_channels, len(data.task.output_names)
    return read_network(
        options.network, options.widths, resolution=resolution, in_channels=in_channels, num_classes=num_classes
    )


def _print(summary: NetworkSummary, how: TableFormat) -> None:
    """All that is known of it; as Markdown or CSV, its layers alone."""
    if how is not TableFormat.TEXT:
        print_table(_layers(summary), how=how)
        return
    pixels = "×".join(map(str, summary.size))
    configurations = Decimal(summary.configurations)  # there may be more than a floating-point number can say
    echo(
        f"{summary.network}: {pixels} pixels with {summary.in_channels} channel(s), {summary.outputs} outputs\n"
        f"{len(summary.layers)} layers, {summary.macs / 1e6:.1f} M MACs, {summary.parameters / 1e6:.2f} M parameters\n"
        f"{len(summary.variables)} width variables, {configurations:.3g} configurations\n"
    )
    print_table(_layers(summary))
    echo("")
    print_table(_variables(summary))
    fixed = [layer for layer in summary.layers if layer.fixed is not None]
    if fixed:
        table = Table("fixed", "channels", "why", box=None)
        for layer in fixed:
            table.add_row(layer.layer, str(layer.channels), layer.fixed)
        echo("")
        print_table(table)


def _layers(summary: NetworkSummary) -> Table:
    table = Table("layer", "operator", "activation", "output", "channels", "MACs", "parameters", box=None)
    for layer in summary.layers:
        table.add_row(
            layer.layer,
            layer.operator,
            "–" if layer.activation == "none" else layer.activation,
            "×".join(map(str, layer.size)) or "–",
            f"{layer.channels} {' '.join(layer.variables)}".strip(),
            f"{layer.macs / 1e6:.2f} M" if layer.macs else "–",
            str(layer.parameters or "–"),
        )
    return table


def _variables(summary: NetworkSummary) -> Table:
    table = Table("width variable", "width", "searched", "made by", box=None)
    for variable in summary.variables:
        ends, count = f"{variable.choices[0]} to {variable.choices[-1]}", len(variable.choices)
        searched = f"{ends}, {count} widths" if count > 1 else "fixed"
        table.add_row(variable.variable, str(variable.base), searched, ", ".join(variable.layers))
    return table
