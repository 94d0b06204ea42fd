"""A device introduces itself: the profile that is written is read again, whatever the device says of itself."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from edgewidth.devices import introduce as introducing
from edgewidth.devices.device import Device, open_device
from edgewidth.devices.introduce import introduce, profile_text
from edgewidth.devices.profiles import DeviceProfile, load_profile
from edgewidth.errors import EdgewidthError, InputError, ProfileError
from edgewidth.records.measurement import DeviceFacts, DeviceState

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = 'Pi "5"\n[emulator]\ncpu = 1\r\x1b[31m\x7f\u2028\\u0041 \'\'\' """ # \udce4 ' + "x" * 600


def said_by(facts: DeviceFacts, profile: DeviceProfile | None = None, **state: float | str) -> str:
    """The profile of a device that says this of itself."""
    given = profile or load_profile("raspberry-pi-5", overrides={"address": "pi@10.0.0.7"})
    with open_device(load_profile("fake")) as connected:
        return profile_text(Device(given, connected.transport, facts), DeviceState.model_validate(state))


def test_what_a_device_says_is_data(tmp_path: Path) -> None:
    facts = DeviceFacts(model=HOSTILE, processor=HOSTILE, system=HOSTILE, runtimes={"litert": HOSTILE})
    path = tmp_path / "mine.toml"
    path.write_text(said_by(facts, governor=HOSTILE), encoding="utf-8")
    found = load_profile(str(path))
    assert set(tomllib.loads(path.read_text())) == {
        *("description", "transport", "address", "runtime", "runtimes", "threads"),
        *("cool_down_c", "max_temperature_c"),
    }
    assert found.description.startswith('Pi "5" [emulator] cpu = 1')
    assert (found.name, found.address, found.runtimes) == ("mine", "pi@10.0.0.7", ("litert",))


def test_it_offers_what_is_installed_and_tells_how_the_device_is() -> None:
    facts = DeviceFacts(cores=4, memory_bytes=8_000_000_000, runtimes={"onnxruntime": "1.32.0"})
    text = said_by(facts, governor="ondemand", frequency_mhz=2400.0)
    found = tomllib.loads(text)
    assert (found["runtime"], found["runtimes"]) == ("onnxruntime", ["onnxruntime"])
    comments = [line for line in text.splitlines() if line.startswith("#")]
    for said in ("Cores: 4", "Memory: 8.0 GB", "Governor: ondemand", "2400 MHz", "onnxruntime 1.32.0"):
        assert any(said in line for line in comments)


def test_nothing_installed_leaves_what_was_meant() -> None:
    found = tomllib.loads(said_by(DeviceFacts()))
    assert (found["runtime"], found["runtimes"]) == ("litert", ["litert", "onnxruntime", "tflite-runtime"])


@pytest.mark.parametrize("name", ["emulator-cortex-a53", "ethos-u55-128", "android", "raspberry-pi-coral", "jetson"])
def test_a_profile_keeps_what_it_said(tmp_path: Path, name: str) -> None:
    """Sections, lists and all; only what it is called and described as is new."""
    given = load_profile(name)
    path = tmp_path / "mine.toml"
    path.write_text(said_by(DeviceFacts(), given))
    same = {"name": "", "description": ""}
    assert load_profile(str(path)).model_copy(update=same) == given.model_copy(update=same)


def test_this_machine_introduces_itself_and_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    made = introduce(load_profile("local"), out)
    assert load_profile(str(out)) == made
    assert (made.name, made.transport) == ("mine", "local")
    assert "# A device profile of edgewidth." in out.read_text()
    out.write_text("kept")
    with pytest.raises(InputError, match="is there already"):
        introduce(load_profile("local"), out)
    assert out.read_text() == "kept"
    assert introduce(load_profile("local"), out, force=True) == made


@pytest.mark.parametrize(
    ("name", "error"), [("mine", InputError), ("my pi.toml", ProfileError), ("x" * 101 + ".toml", ProfileError)]
)
def test_a_file_that_names_no_device_is_refused(
    tmp_path: Path, name: str, error: type[EdgewidthError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the path that was given, before the device is asked."""
    monkeypatch.setattr(introducing, "open_device", lambda *_, **__: pytest.fail("it was asked"))
    with pytest.raises(error) as caught:
        introduce(load_profile("fake"), tmp_path / name)
    assert str(tmp_path / name) in caught.value.message
    assert "Mend it there" not in (caught.value.remedy or "")
