"""Options that several verbs share, each defined once, and the groups of them with what they describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from edgewidth.cli.networks import Given, read_network, tell_branches
from edgewidth.cli.record import option
from edgewidth.cli.terminal import printing_aside
from edgewidth.cli.values import (
    FILE,
    FOLDER,
    FiniteRange,
    OneOf,
    TableFormat,
    duration,
    pairs,
    percent,
    resolution,
    share,
)
from edgewidth.cli.widths import WidthOptions
from edgewidth.errors import InputError
from edgewidth.records.budget import BudgetRequest, Limits, parse_count
from edgewidth.records.measurement import Accelerator, EngineName, Precision, Statistic
from edgewidth.resolution import Resolution
from edgewidth.stages.target import Target, make_target
from edgewidth.training.recipes import RECIPES, Phase, Recipe, load_recipe

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.records.run import Narrowing
    from edgewidth.stages.profile import ProfilePlan
    from edgewidth.stages.refine import RefinePlan

JsonOption = Annotated[bool, option("--json", is_flag=True, help="One JSON document on standard output.")]
OutOption = Annotated[Path, option("--out", type=FOLDER, required=True, help="Run folder.")]
ForceOption = Annotated[bool, option("--force", is_flag=True, help="Start again over what --out holds.")]
SeedOption = Annotated[int, option("--seed", type=click.IntRange(0, 2**31 - 1), default=0)]
DeviceOption = Annotated[str, option("--device", default="local", help="A device profile's name, or a .toml file.")]
ProfilesOption = Annotated[
    Path | None,
    option(
        "--profiles",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        envvar="EDGEWIDTH_DEVICE_PROFILES",
        help="A folder with your own device profiles.",
    ),
]
SetOption = Annotated[
    dict[str, str],
    option(
        "--set",
        multiple=True,
        callback=pairs,
        metavar="KEY=VALUE",
        help="Change one value of the device profile; may be repeated.",
    ),
]
FormatOption = Annotated[
    TableFormat,
    option(
        "--format", type=OneOf(TableFormat), default="text", help="How the table is printed; markdown and csv: alone."
    ),
]
BudgetOption = Annotated[
    BudgetRequest,
    option(
        "--budget",
        parse=BudgetRequest.parse,
        default="60%",
        help="8ms, 0.4s, or a share of the uniform 1.0 network's latency.",
    ),
]
CompareOption = Annotated[
    bool,
    option(
        "--compare",
        is_flag=True,
        help="First measure every runtime, precision and thread count that the device offers, and say which is "
        "fastest.",
    ),
]
StatisticOption = Annotated[
    Statistic,
    option("--statistic", type=OneOf(Statistic), default="median", help="What of the latency the budget bounds."),
]
PrecisionOption = Annotated[
    Precision,
    option(
        "--precision",
        type=OneOf(Precision),
        default="int8",
        help="What the network is measured and exported in. dynamic-int8: only weights are int8 in the file.",
    ),
]
NetworkOption = Annotated[
    str,
    option(
        "--network",
        default="mobilenet_v1",
        help="A family's name, file.py:callable or package.module:callable that makes a torch.nn.Module, a .pt2, "
        "timm:NAME or torchvision:NAME.",
    ),
]
ResolutionOption = Annotated[
    Resolution | None,
    option(
        "--resolution",
        parse=resolution,
        metavar="96|96x128",
        help="Pixels a side, or height and width.  [default: from the data, 96 at most]",
    ),
]
WeightsOption = Annotated[
    Path | None,
    option(
        "--weights",
        type=FILE,
        help="Begin with these weights, a .safetensors of this network at any widths.  [default: random weights]",
    ),
]
MaxInt8DropOption = Annotated[
    float,
    option(
        "--max-int8-drop",
        parse=percent,
        default="1%",
        help="Where quantisation costs more points of top-1 accuracy, the network is trained on for int8.",
    ),
]


RivalsOption = Annotated[
    float,
    option(
        "--rivals",
        parse=share,
        default="0%",
        metavar="SHARE",
        help="What brief trainings of configurations near the budget may cost, as a share of the final training, such "
        "as 50%. The losses learn from them.",
    ),
]


@dataclass(frozen=True)
class DataOptions:
    """Where images come from."""

    data: Annotated[
        str,
        option(
            "--data",
            default="digits",
            help="digits, a folder with train/<class>/*.jpg and val/<class>/*.jpg, or an .npz.",
        ),
    ]
    skip_bad: Annotated[
        bool,
        option(
            "--skip-bad",
            is_flag=True,
            help="Leave out files of a folder that cannot be read or are no images, and say so.",
        ),
    ]


@dataclass(frozen=True)
class TargetOptions:
    """How to measure on a device, beside which one it is."""

    profiles: ProfilesOption
    overrides: SetOption
    runtime: Annotated[
        EngineName | None,
        option("--runtime", type=OneOf(EngineName), help="What executes the model there.  [default: the profile's]"),
    ]
    accelerator: Annotated[
        Accelerator | None,
        option("--accelerator", type=OneOf(Accelerator), help="What it computes on there.  [default: the profile's]"),
    ]
    allow_fallback: Annotated[
        bool,
        option(
            "--allow-fallback",
            is_flag=True,
            help="Accept measurements of which nothing ran on the accelerator.",
        ),
    ]
    threads: Annotated[
        int | None, option("--threads", type=click.IntRange(1, 64), help="Threads.  [default: the profile's]")
    ]

    def target(
        self, device: str, *, precision: Precision = Precision.INT8, statistic: Statistic = Statistic.MEDIAN
    ) -> Target:
        """This device and the way to measure on it."""
        return make_target(
            device,
            folder=self.profiles,
            overrides=self.overrides,
            runtime=self.runtime,
            accelerator=self.accelerator,
            allow_fallback=self.allow_fallback,
            threads=self.threads,
            precision=precision,
            statistic=statistic,
        )


@dataclass(frozen=True)
class NetworkOptions:
    """The network, its input and the range of its widths."""

    network: NetworkOption
    resolution: ResolutionOption
    widths: WidthOptions

    def images(self, source: DataOptions, *, seed: int, progress: Progress, searched: bool = True) -> ImageData:
        """The images of a data source at the network's resolution.

        Raises:
            DataError: They cannot be used as they are.
            InputError: The options make no sense, or leave nothing to choose where widths are ``searched``.
        """
        from edgewidth.capture.load import check_named, is_own  # noqa: PLC0415  help stays instant
        from edgewidth.data.split import load_images  # noqa: PLC0415

        # Reading images can take minutes; an option that makes no sense is told before.
        self.widths.ranges(with_base=False)
        resolution = self.resolution
        with printing_aside():
            program = check_named(self.network) if is_own(self.network) else None
        if not is_own(self.network):
            given = self._read(resolution or 32, in_channels=3, num_classes=2)
            if searched:
                given.space.check_choice()
        elif program is not None and resolution is None:
            from edgewidth.capture.archive import own_resolution  # noqa: PLC0415  torch loads when it is needed

            resolution = own_resolution(program)
        return load_images(source.data, resolution=resolution, seed=seed, skip_bad=source.skip_bad, progress=progress)

    def space(self, data: ImageData, progress: Progress, *, searched: bool = True) -> SearchSpace:
        """The search space for these images; what is doubtful about the network is told.

        Raises:
            InputError: The network does not fit them, or there is nothing to choose where widths are ``searched``.
        """
        given = self.given(data, trained=False)
        if searched:
            given.space.check_choice()
        tell_branches(given.space.network, progress)
        return given.space

    def given(self, data: ImageData, *, trained: bool) -> Given:
        """The network for these images; a library's with its weights only if it is wanted ``trained``."""
        classes = len(data.task.output_names)
        return self._read(data.resolution, in_channels=data.in_channels, num_classes=classes, trained=trained)

    def _read(
        self, resolution: Resolution | None, *, in_channels: int, num_classes: int, trained: bool = False
    ) -> Given:
        return read_network(
            self.network,
            self.widths,
            resolution=resolution,
            in_channels=in_channels,
            num_classes=num_classes,
            trained=trained,
        )


@dataclass(frozen=True)
class RecipeOptions:
    """How to train."""

    recipe: Annotated[
        str, option("--recipe", type=click.Choice(list(RECIPES)), default="standard", help="How long to train.")
    ]
    learning_rate: Annotated[
        float | None,
        option(
            "--learning-rate",
            type=FiniteRange(min=0, min_open=True),
            help="At its peak, for batches of 256; it scales with the batch.  "
            f"[default: the recipe's, {Phase.learning_rate}]",
        ),
    ]

    def load(self) -> Recipe:
        """The recipe of this name, at this learning rate where one is given."""
        recipe = load_recipe(self.recipe)
        return recipe if self.learning_rate is None else recipe.at(self.learning_rate)


@dataclass(frozen=True)
class LimitOptions:
    """What must not be exceeded beside the latency."""

    size_bytes: Annotated[
        float | None,
        option("--max-size", parse=parse_count, metavar="2MB", help="The model file, in the measured precision."),
    ]
    macs: Annotated[
        float | None,
        option("--max-macs", parse=parse_count, metavar="50M", help="Multiply-accumulates of one inference."),
    ]
    activation_bytes: Annotated[
        float | None,
        option(
            "--max-memory",
            parse=parse_count,
            metavar="300kB",
            help="All activations that live at once, in the measured precision.",
        ),
    ]

    def beside(self, budget: BudgetRequest) -> BudgetRequest:
        """A budget of latency with these limits."""
        limits = Limits(size_bytes=self.size_bytes, macs=self.macs, activation_bytes=self.activation_bytes)
        return budget.model_copy(update={"limits": limits})


@dataclass(frozen=True)
class PlanOptions:
    """How much to measure for the latency table."""

    target_error_percent: Annotated[
        float, option("--target-error", parse=percent, default="3%", help="Profiling ends at this held-out error …")
    ]
    time_budget_s: Annotated[
        float,
        option(
            "--time-budget",
            parse=duration,
            default="10m",
            help="… or after this time. In a run candidates near the budget are then measured for as long at most.",
        ),
    ]

    def plan(self) -> ProfilePlan:
        """When profiling ends."""
        from edgewidth.stages.profile import ProfilePlan  # noqa: PLC0415  help stays instant

        return ProfilePlan(target_error_percent=self.target_error_percent, time_budget_s=self.time_budget_s)

    def refine_plan(self) -> RefinePlan:
        """When the measuring of candidates ends."""
        from edgewidth.stages.refine import RefinePlan  # noqa: PLC0415  help stays instant

        return RefinePlan(time_budget_s=self.time_budget_s)


@dataclass(frozen=True)
class ReuseOptions:
    """What is known of latencies from other runs.

    Raises:
        InputError: Both are given.
    """

    table: Annotated[
        Path | None,
        option(
            "--table",
            type=FILE,
            help="table.json of this very device: used if a handful of networks measured now agree with it.",
        ),
    ]
    prior: Annotated[
        Path | None,
        option(
            "--prior",
            type=FILE,
            help="table.json of a similar device or of another precision: fewer networks need measuring.",
        ),
    ]

    def __post_init__(self) -> None:
        if self.table and self.prior:
            raise InputError(
                "--table and --prior exclude each other: with a table that still holds nothing is learned from a "
                "prior.",
                remedy="Give --table for a table of this very device, --prior for one of another or of another "
                "precision.",
            )


@dataclass(frozen=True)
class NarrowingOptions:
    """How the range of widths narrows while a supernet is trained for one device and budget."""

    narrow_after: Annotated[
        float,
        option(
            "--narrow-after", parse=percent, default="40%", help="The share of training with widths drawn uniformly."
        ),
    ]
    final_temperature: Annotated[
        float,
        option(
            "--final-temperature",
            type=FiniteRange(min=0, min_open=True, max=10),
            default=0.1,
            help="How narrow: of the field that widths are drawn from, in standard deviations of the loss.",
        ),
    ]

    def narrowing(self) -> Narrowing:
        """When narrowing begins and how narrow it becomes.

        Raises:
            InputError: It would never begin.
        """
        from edgewidth.records.run import Narrowing  # noqa: PLC0415  help stays instant

        if self.narrow_after >= 100:
            raise InputError("--narrow-after 100% leaves nothing to narrow.", remedy="Write less.")
        return Narrowing(begin=self.narrow_after / 100, last_temperature=self.final_temperature)
