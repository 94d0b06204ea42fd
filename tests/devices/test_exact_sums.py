"""Whatever instructions a processor has, ONNX Runtime adds int8 products exactly, here and on devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnxruntime
import pytest
from small_onnx import onnx_sums

from edgewidth.devices.on_device.loaded import Asked
from edgewidth.devices.on_device.ort import import_onnxruntime, load_onnx
from edgewidth.devices.on_device.values import values_file
from edgewidth.formats.onnx.loaded import LoadedOnnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

CHANNELS = 32


def _here(path: Path, ones: NDArray[np.float32]) -> NDArray[Any]:
    return LoadedOnnx(path.read_bytes()).run(ones)


def _on_a_device(path: Path, ones: NDArray[np.float32]) -> NDArray[Any]:
    np.savez(values_file(str(path)), **{"0": ones})  # type: ignore[arg-type]  # its keywords are arrays, but for one
    given = {"dtype": "float32", "values": "given"}
    loaded = load_onnx(import_onnxruntime(), Asked({"runtime": "onnxruntime"}, str(path), 1, [given]))
    loaded.run()
    return np.asarray(loaded.outputs()[0])


class _Noted(onnxruntime.SessionOptions):  # type: ignore[misc]  # it has no types
    """Options that tell what sessions are made with."""

    entries: ClassVar[dict[str, str]] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value
        super().add_session_config_entry(key, value)


@pytest.mark.parametrize("computed", [_here, _on_a_device])
def test_int8_products_are_added_exactly(
    computed: Callable[[Path, NDArray[np.float32]], NDArray[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All inputs are 1 and all weights 1 or -1: without VNNI instructions half of it came out; with them all does."""
    monkeypatch.setattr(onnxruntime, "SessionOptions", _Noted)
    monkeypatch.setattr(_Noted, "entries", {})
    path = tmp_path / "sums.onnx"
    path.write_bytes(onnx_sums(CHANNELS))
    sums = computed(path, np.ones((1, CHANNELS, 4, 4), np.float32))
    assert _Noted.entries["session.x64quantprecision"] == "1"
    np.testing.assert_allclose(sums[0, :, 0, 0], [CHANNELS, -CHANNELS], atol=CHANNELS / 254)
