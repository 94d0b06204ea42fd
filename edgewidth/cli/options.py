"""Options that several verbs share, each defined once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from edgewidth.errors import InputError
from edgewidth.records.budget import BudgetRequest, Limits, parse_count
from edgewidth.records.measurement import Precision, Runtime, Statistic
from edgewidth.stages.target import Target, make_target
from edgewidth.training.recipes import RECIPES, Phase, Recipe, load_recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.records.run import Narrowing
    from edgewidth.stages.profile import ProfilePlan

F = TypeVar("F", bound="Callable[..., Any]")


def _choice(kind: type[StrEnum]) -> click.Choice[str]:
    return click.Choice([member.value for member in kind])


def _enum(kind: type[StrEnum]) -> Callable[[click.Context, click.Parameter, str | None], StrEnum | None]:
    return lambda _context, _parameter, text: None if text is None else kind(text)


def _budget(_context: click.Context, _parameter: click.Parameter, text: str | None) -> BudgetRequest | None:
    return None if text is None else BudgetRequest.parse(text)


def _count(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    return None if text is None else parse_count(text)


def _budget_in_ms(_context: click.Context, _parameter: click.Parameter, text: str | None) -> BudgetRequest | None:
    if text is None:
        return None
    budget = BudgetRequest.parse(text)
    if budget.unit == "%":
        raise InputError(
            f"{text} of what? One file alone has no uniform 1.0 network.", remedy="Write the budget as 8ms or 0.4s."
        )
    return budget


class _FiniteRange(click.FloatRange):
    """A range that has no nan in it, which compares with nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def _amount(text: str, unit: float = 1.0) -> float | None:
    """So many units, from a decimal number above zero; None: it is none, or too large."""
    if not text.replace(".", "", 1).isdecimal():
        return None
    amount = float(text) * unit
    return amount if 0 < amount < math.inf else None


def _duration(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    """Seconds from ``90s``, ``10m`` or ``1h``."""
    if text is None:
        return None
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:])
    seconds = unit and _amount(text[:-1], unit)
    if seconds is None:
        raise InputError(f"{text!r} is not a duration.", remedy="Write 90s, 10m or 1h.")
    return seconds


def _percent(_context: click.Context, _parameter: click.Parameter, text: str) -> float:
    """A number from ``3%``."""
    number = _amount(text.removesuffix("%").strip()) if text.endswith("%") else None
    if number is None:
        raise InputError(f"{text!r} is not a percentage above zero.", remedy="Write 3%.")
    return number


def _overrides(_context: click.Context, _parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--set {pair}: there is no value.", remedy="Write --set key=value.")
    return {key.strip(): value for key, value in (pair.split("=", 1) for pair in pairs)}


FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
profiles_option = click.option(
    "--profiles",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar="EDGEWIDTH_DEVICE_PROFILES",
    default=None,
    help="A folder with your own device profiles.",
)
device_option = click.option(
    "--device", default="local", show_default=True, help="A device profile's name, or a .toml file."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
out_option = click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Run folder.")
force_option = click.option("--force", is_flag=True, help="Start again over what --out holds.")
seed_option = click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
data_option = click.option(
    "--data",
    default="digits",
    show_default=True,
    help="digits, a folder with train/<class>/*.jpg and val/<class>/*.jpg, or an .npz.",
)
budget_option = click.option(
    "--budget",
    callback=_budget,
    default="60%",
    show_default=True,
    help="8ms, 0.4s, or a share of the uniform 1.0 network's latency.",
)
budget_in_ms_option = click.option(
    "--budget", callback=_budget_in_ms, default=None, help="8ms or 0.4s.  [default: only measure]"
)
compare_option = click.option(
    "--compare",
    is_flag=True,
    help="First measure every runtime, precision and thread count that the device offers, and say which is fastest.",
)
sustained_option = click.option(
    "--sustained",
    callback=_duration,
    default=None,
    metavar="10m",
    help="Afterwards run it without a pause for so long, and tell how the latency drifts.",
)
statistic_option = click.option(
    "--statistic",
    type=_choice(Statistic),
    callback=_enum(Statistic),
    default="median",
    show_default=True,
    help="What of the latency the budget bounds.",
)
precision_option = click.option(
    "--precision", type=_choice(Precision), callback=_enum(Precision), default="int8", show_default=True
)
weights_option = click.option(
    "--weights",
    type=FILE,
    default=None,
    help="Begin with these weights, a .safetensors of this network at any widths.  [default: random weights]",
)
max_int8_drop_option = click.option(
    "--max-int8-drop",
    "max_int8_drop_points",
    callback=_percent,
    default="1%",
    show_default=True,
    help="Where quantisation costs more points of top-1 accuracy, the network is trained on for int8.",
)


def target_options(function: F) -> F:
    """How to measure on a device, beside which one it is."""
    for option in (
        click.option("--threads", type=click.IntRange(1, 64), default=None, help="Threads.  [default: the profile's]"),
        click.option(
            "--runtime",
            type=_choice(Runtime),
            callback=_enum(Runtime),
            default=None,
            help="What executes the model there.  [default: the profile's]",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            callback=_overrides,
            metavar="KEY=VALUE",
            help="Change one value of the device profile; may be repeated.",
        ),
        profiles_option,
    ):
        function = option(function)
    return function


def device_options(function: F) -> F:
    """``--device`` and how to measure on it."""
    return device_option(target_options(function))


def network_options(function: F) -> F:
    """The network and the range of its widths."""
    for option in (
        click.option("--divisor", type=click.IntRange(1, 64), default=8, show_default=True, help="Widths' multiple."),
        click.option(
            "--levels", type=click.IntRange(1, 64), default=None, help="Width multipliers.  [default: one every 0.1]"
        ),
        click.option("--max-width", type=float, default=1.5, show_default=True, help="Largest width multiplier."),
        click.option("--min-width", type=float, default=0.2, show_default=True, help="Smallest width multiplier."),
        click.option(
            "--resolution", type=int, default=None, help="Pixels a side.  [default: from the data, 96 at most]"
        ),
        click.option("--network", default="mobilenet_v1", show_default=True),
    ):
        function = option(function)
    return function


def recipe_options(function: F) -> F:
    """How to train."""
    for option in (
        click.option(
            "--learning-rate",
            type=_FiniteRange(min=0, min_open=True),
            default=None,
            help="At its peak, for batches of 256; it scales with the batch.  "
            f"[default: the recipe's, {Phase.learning_rate}]",
        ),
        click.option(
            "--recipe",
            type=click.Choice(list(RECIPES)),
            default="standard",
            show_default=True,
            help="How long to train.",
        ),
    ):
        function = option(function)
    return function


def recipe_from(options: dict[str, Any]) -> Recipe:
    """What ``recipe_options`` describe."""
    recipe, learning_rate = load_recipe(options["recipe"]), options["learning_rate"]
    return recipe if learning_rate is None else recipe.at(learning_rate)


def limit_options(function: F) -> F:
    """What must not be exceeded beside the latency."""
    for name, metavar, text in (
        ("--max-memory", "300kB", "Input and output of any layer together, in the measured precision."),
        ("--max-macs", "50M", "Multiply-accumulates of one inference."),
        ("--max-size", "2MB", "The model file, in the measured precision."),
    ):
        function = click.option(name, callback=_count, default=None, metavar=metavar, help=text)(function)
    return function


def budget_from(options: dict[str, Any]) -> BudgetRequest:
    """``--budget`` with what ``limit_options`` add."""
    limits = Limits(size_bytes=options["max_size"], macs=options["max_macs"], activation_bytes=options["max_memory"])
    budget: BudgetRequest = options["budget"]
    return budget.model_copy(update={"limits": limits})


def plan_options(function: F) -> F:
    """How much to measure for the latency table."""
    for option in (
        click.option(
            "--time-budget",
            callback=_duration,
            default="10m",
            show_default=True,
            help="… or after this time.",
        ),
        click.option(
            "--target-error",
            callback=_percent,
            default="3%",
            show_default=True,
            help="Profiling ends at this held-out error …",
        ),
    ):
        function = option(function)
    return function


def reuse_options(function: F) -> F:
    """What is known of latencies from other runs."""
    for option in (
        click.option(
            "--prior",
            type=FILE,
            default=None,
            help="table.json of a similar device or of another precision: fewer networks need measuring.",
        ),
        click.option(
            "--table",
            "known_table",
            type=FILE,
            default=None,
            help="table.json of this very device: used if a handful of networks measured now agree with it.",
        ),
    ):
        function = option(function)
    return function


def reuse_from(options: dict[str, Any]) -> tuple[Path | None, Path | None]:
    """``--table`` and ``--prior``.

    Raises:
        InputError: Both are given.
    """
    table, prior = options["known_table"], options["prior"]
    if table and prior:
        raise InputError(
            "--table and --prior exclude each other: with a table that still holds nothing is learned from a prior.",
            remedy="Give --table for a table of this very device, --prior for one of another or of another precision.",
        )
    return table, prior


def refuse_without(lacking: str, *names: str) -> None:
    """Refuse parameters of the verb at hand that count only with an option which was not given.

    Raises:
        InputError: One of them was given.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT:
            option = parameter.opts[0]
            raise InputError(
                f"{option} counts only with {lacking}.", remedy=f"Give {lacking} as well, or leave {option} out."
            )


NARROWING = ("narrow_after", "final_temperature")
"""The parameters of ``narrowing_options``."""


def narrowing_options(function: F) -> F:
    """How the range of widths narrows while a supernet is trained for one device and budget."""
    for option in (
        click.option(
            "--final-temperature",
            type=_FiniteRange(min=0, min_open=True, max=10),
            default=0.1,
            show_default=True,
            help="How narrow: of the field that widths are drawn from, in standard deviations of the loss.",
        ),
        click.option(
            "--narrow-after",
            callback=_percent,
            default="40%",
            show_default=True,
            help="The share of training with widths drawn uniformly.",
        ),
    ):
        function = option(function)
    return function


def narrowing_from(options: dict[str, Any]) -> Narrowing:
    """What ``narrowing_options`` describe."""
    from edgewidth.records.run import Narrowing  # noqa: PLC0415  help stays instant

    begin = options["narrow_after"] / 100
    if begin >= 1:
        raise InputError("--narrow-after 100% leaves nothing to narrow.", remedy="Write less.")
    return Narrowing(begin=begin, last_temperature=options["final_temperature"])


def profile_plan(options: dict[str, Any]) -> ProfilePlan:
    """What ``plan_options`` describe."""
    from edgewidth.stages.profile import ProfilePlan  # noqa: PLC0415  help stays instant

    return ProfilePlan(target_error_percent=options["target_error"], time_budget_s=options["time_budget"])


def target_from(options: dict[str, Any]) -> Target:
    """The device and the way to measure on it that ``device_options`` describe."""
    return make_target(
        options["device"],
        folder=options["profiles"],
        overrides=options["overrides"],
        runtime=options["runtime"],
        threads=options["threads"],
        precision=options.get("precision") or Precision.INT8,
        statistic=options.get("statistic") or Statistic.MEDIAN,
    )


def images_from(options: dict[str, Any], progress: Progress, *, searched: bool = True) -> ImageData:
    """The images of ``--data`` at ``--resolution``.

    Raises:
        DataError: They cannot be used as they are.
        InputError: ``network_options`` make no sense, or leave nothing to choose where widths are ``searched``.
    """
    from edgewidth.data.split import load_images  # noqa: PLC0415
    from edgewidth.graph.families.registry import search_space  # noqa: PLC0415  help stays instant

    if "network" in options:
        # Reading images can take minutes; an option that makes no sense is told before.
        space = search_space(resolution=options["resolution"] or 32, in_channels=3, num_classes=2, **_widths(options))
        if searched and space.size == 1:
            raise InputError(
                f"These widths leave one configuration, {space.smallest}: there is nothing to search.",
                remedy="Widen --min-width and --max-width or raise --levels; "
                f"with the same widths edgewidth finetune --config {space.smallest} trains that one network.",
            )

    return load_images(
        options["data"], resolution=options["resolution"], seed=options.get("seed", 0), progress=progress
    )


def space_from(options: dict[str, Any], data: ImageData) -> SearchSpace:
    """The search space that ``network_options`` describe, for these images."""
    from edgewidth.graph.families.registry import search_space  # noqa: PLC0415  help stays instant

    return search_space(
        resolution=data.resolution,
        in_channels=data.in_channels,
        num_classes=len(data.class_names),
        **_widths(options),
    )


def _widths(options: dict[str, Any]) -> dict[str, Any]:
    names = ("min_width", "max_width", "levels", "divisor")
    return {"family": options["network"]} | {name: options[name] for name in names}
