"""Files for features: calibrated with features, fed with features, and saying so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from edgewidth.data.pixels import normalise
from edgewidth.formats.artifacts import ArtifactMaker
from edgewidth.formats.inspect import model_facts, run_model
from edgewidth.formats.registry import FORMATS
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from formats.cases import Case, Exported


def test_normalised_pixels_as_features_make_the_same_networks(residual_case: Case, exported: Exported) -> None:
    """A network of pixels takes them normalised: with these as features the same files come out, but for metadata."""
    arguments = exported.arguments
    images, calibration = arguments["test"].split.images, normalise(arguments["calibration"])
    maker = ArtifactMaker(residual_case.space, residual_case.config, calibration, arguments["test"].task)
    precisions = {artifact.precision for artifact in exported.artifacts.artifacts}
    files = maker.files(arguments["weights"], *precisions)
    assert set(files) == {(precision, name) for precision in precisions for name in FORMATS}
    for (precision, name), content in files.items():
        of_pixels = exported.folder.model(precision, name).read_bytes()
        assert np.array_equal(run_model(content, normalise(images)), run_model(of_pixels, images))
        found = model_facts(content).metadata
        assert found is not None
        assert (found.input, found.pixel_mean, found.pixel_std, found.is_image) == ("features", 0, 1, False)
    properties = onnx.load_model_from_string(files[Precision.INT8, FormatName.ONNX]).metadata_props
    assert not any(entry.key.startswith("Image.") for entry in properties)
