"""What training begins with: the weights that a network brings, those of a file, or random ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgewidth.cli.options import WeightsOption
from edgewidth.cli.record import option
from edgewidth.cli.values import numbers, positive_numbers
from edgewidth.errors import InputError
from edgewidth.records.provenance import file_digest

if TYPE_CHECKING:
    from edgewidth.cli.options import NetworkOptions
    from edgewidth.data.split import ImageData
    from edgewidth.progress import Progress
    from edgewidth.stages.folder import RunFolder


@dataclass(frozen=True)
class StartOptions:
    """What the supernet begins with."""

    weights: WeightsOption
    from_scratch: Annotated[
        bool,
        option("--from-scratch", is_flag=True, help="Begin with random weights though the network has its own."),
    ]
    mean: Annotated[
        tuple[float, ...] | None,
        option(
            "--mean",
            parse=numbers,
            help="What the network with these weights subtracts from pixels from 0 to 1, such as 0.485,0.456,0.406.  "
            "[default: it takes pixels / 127.5 - 1]",
        ),
    ]
    std: Annotated[
        tuple[float, ...] | None,
        option("--std", parse=positive_numbers, help="What it divides them by after that, such as 0.229,0.224,0.225."),
    ]

    def __post_init__(self) -> None:
        """Raises InputError where they contradict each other."""
        if self.weights and self.from_scratch:
            raise InputError("--weights and --from-scratch are different starts.", remedy="Give one of them.")
        if (self.mean is None) != (self.std is None):
            raise InputError("--mean and --std belong together.", remedy="Give both or none of them.")
        if self.from_scratch:
            self._refuse_normalisation("--from-scratch begins with random ones")

    def file(
        self, network: NetworkOptions, data: ImageData, folder: RunFolder, *, force: bool, progress: Progress
    ) -> Path | None:
        """The file of weights to begin with, made in the run folder if the network brings them; None: random ones.

        A network that was never trained brings none.

        Raises:
            FileError: Weights do not fit.
            InputError: The normalisation does not fit, or it is given for features, which are no pixels, or for random
                weights.
            SurroundingsError: The weights of a library's network cannot be had.
        """
        if self.mean is not None and data.are_features:
            raise InputError(
                f"--mean and --std are of pixels, and {data.source} holds features.",
                remedy="Leave them out; store the features as the network takes them.",
            )
        if self.from_scratch or (self.weights and self.mean is None):
            return self.weights
        from edgewidth.training.networks.pretrained import save_brought, was_asked  # noqa: PLC0415  torch loads when needed
        from edgewidth.training.networks.weights import read_tensors  # noqa: PLC0415

        given = network.given(data, trained=self.weights is None)
        captured, mean, std = given.captured, self.mean, self.std
        if self.weights:
            source, tensors, digest = self.weights, read_tensors(self.weights)[0], file_digest(self.weights)
        elif captured is None:
            self._refuse_normalisation(f"{network.network} brings none")
            return None
        elif captured.is_untrained:
            self._refuse_normalisation(f"{network.network} was never trained")
            progress.say(f"{network.network} was never trained: its weights are random.")
            return None
        else:
            if captured.is_untrained is None:
                progress.say(
                    f"Whether {network.network} was trained cannot be told, since it has no batch normalisation: its "
                    "weights are taken for trained ones. --from-scratch begins with random ones."
                )
            source, tensors, digest = Path(network.network), dict(captured.weights), captured.weights_digest
            if captured.normalisation and mean is None and not data.are_features:
                mean, std = captured.normalisation
                progress.say(f"{network.network} takes pixels from 0 to 1 less {_list(mean)}, divided by {_list(std)}.")
        asked = repr((network.network, given.space.fingerprint, digest, mean, std))
        if force or not was_asked(folder.given, asked):
            save_brought(given.space, tensors, folder.given, source=source, mean=mean, std=std, asked=asked)
        return folder.given

    def _refuse_normalisation(self, why: str) -> None:
        if self.mean is not None:
            raise InputError(
                f"--mean and --std count only with trained weights; {why}.",
                remedy="Give --weights of a network that takes such pixels, or leave --mean and --std out.",
            )


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
