"""A trained network as files of every format, each with a description of its input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgewidth.data.pixels import PIXEL_MEAN, PIXEL_STD, are_features
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.registry import FORMATS
from edgewidth.progress import SILENT, Progress
from edgewidth.records.artifact import ArtifactMetadata
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.version import __version__

if TYPE_CHECKING:
    from edgewidth.data.pixels import Inputs
    from edgewidth.formats.format import Format
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.records.weights import FoldedWeights
    from edgewidth.tasks.task import Task

Files = dict[tuple[Precision, FormatName], bytes]
"""Contents of model files."""


class ArtifactMaker(NamedTuple):
    """Makes files of one configuration, of whatever weights.

    ``calibration``: images or features (n, height, width, channels) of the training data. ``task``: what the network is
    for.
    """

    space: SearchSpace
    config: ChannelConfig
    calibration: Inputs
    task: Task
    progress: Progress = SILENT

    def files(self, weights: FoldedWeights, *precisions: Precision) -> Files:
        """The network with these weights in every format; raises as ``Format.convert`` does."""
        network, widths = self.space.network, self.space.widths(self.config)
        conversion = Conversion(network, widths, weights, precisions, self.calibration, self.progress)
        files: Files = {}
        for one in FORMATS.values():
            contents = one.convert(conversion)
            files |= {
                (precision, one.name): self._annotated(one, contents[precision], precision) for precision in precisions
            }
        return files

    def _annotated(self, file_format: Format, content: bytes, precision: Precision) -> bytes:
        facts, network = file_format.facts(content), self.space.network
        features = are_features(self.calibration)
        metadata = ArtifactMetadata(
            edgewidth_version=__version__,
            network=network.family,
            config=self.config,
            precision=precision,
            resolution=network.resolution,
            channels=network.in_channels,
            layout=file_format.image_layout,
            input="features" if features else "pixels",
            pixel_mean=0.0 if features else PIXEL_MEAN,
            pixel_std=1.0 if features else PIXEL_STD,
            input_quantisation=facts.inputs[0].quantisation,
            output_quantisation=facts.outputs[0].quantisation,
            class_names=self.task.output_names,
        )
        return file_format.annotate(content, metadata, self.task.text)
