from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from converter import Converter
from formats.cases import Case, Exported, MakeFactory, export_case, make_case, residual_space

from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.space import ChannelConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def converter() -> Iterator[Converter]:
    """TensorFlow is loaded once for all conversions; each has a process of its own even so."""
    converter = Converter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgewidth.formats.tflite.convert.run_to_end", converter.run)
        yield converter
    converter.close()


@pytest.fixture(autouse=True)
def _no_history(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What one test validates, none of the others knows."""
    path = tmp_path_factory.getbasetemp() / f"validations-{uuid4().hex}.sqlite"
    monkeypatch.setattr("edgewidth.devices.measure.history.history_path", lambda: path)


@pytest.fixture(scope="session")
def mobilenet_case() -> Case:
    space = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=7, max_width=0.5, levels=4)
    return make_case(space, space.config([0, 2, 1, 1, 0, 2, 1, 0, 1, 2, 0, 1, 2, 1]))


@pytest.fixture(scope="session")
def residual_case() -> Case:
    return make_case(residual_space(), ChannelConfig((12, 8)))


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> MakeFactory:
    """Factories that share one cache, so that every conversion happens once."""
    cache: Path = tmp_path_factory.mktemp("variants")
    return lambda space, precision, format_name: VariantFactory(space, precision, format_name, cache)


@pytest.fixture(scope="session")
def exported(residual_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_case(residual_case, tmp_path_factory.mktemp("run"))
