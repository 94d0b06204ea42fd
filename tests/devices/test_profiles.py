"""Profiles: how they are found, what they refuse, and that each refusal names its key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgewidth.devices.profiles import FOLDER_VARIABLE, DeviceProfile, list_profiles, load_profile, shipped_folder
from edgewidth.errors import ProfileError
from edgewidth.records.measurement import Clock, EngineName

if TYPE_CHECKING:
    from collections.abc import Callable

SSH = 'transport = "ssh"\naddress = "pi@raspberrypi.local"\n'
SHIPPED = {
    "android",
    "android-termux",
    "emulator-cortex-a53",
    "emulator-cortex-a72",
    "emulator-cortex-a76",
    "ethos-u55-128",
    "ethos-u65-256",
    "ethos-u85-256",
    "fake",
    "jetson",
    "linux-board",
    "local",
    "raspberry-pi-3b-plus",
    "raspberry-pi-4b",
    "raspberry-pi-5",
    "raspberry-pi-coral",
    "raspberry-pi-os-32bit",
    "raspberry-pi-zero-2w",
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a profile file and returns its path."""

    def write_text(text: str, name: str = "board") -> str:
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return str(path)

    return write_text


def test_shipped_profiles_are_all_there_and_valid() -> None:
    """Every shipped file loads by its name and describes itself."""
    profiles = {profile.name: profile for profile in list_profiles()}
    assert set(profiles) == SHIPPED
    assert all(profile.description for profile in profiles.values())
    assert profiles["raspberry-pi-os-32bit"].runtimes == (EngineName.TFLITE_RUNTIME,)
    assert profiles["android"].runtime is EngineName.BENCHMARK_MODEL
    assert {profile.clock for name, profile in profiles.items() if name.startswith("emulator")} == {Clock.ICOUNT}


def test_shipped_profiles_are_packaged() -> None:
    """The build puts the folder where an installed package looks for it."""
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '"device_profiles" = "edgewidth/device_profiles"' in pyproject
    assert {path.stem for path in shipped_folder().glob("*.toml")} == SHIPPED


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_shipped_ssh_profiles_ask_for_an_address(name: str) -> None:
    """Boards whose address nobody can know say how to set it; with it set, they have it."""
    profile = load_profile(name)
    if profile.transport != "ssh":
        return
    with pytest.raises(ProfileError, match=f"{name} has no address") as caught:
        profile.required_address()
    assert "`address=" in (caught.value.remedy or "")
    assert load_profile(name, overrides={"address": "pi@10.0.0.7"}).required_address() == "pi@10.0.0.7"


def test_unknown_device_lists_the_known_ones() -> None:
    """A name that does not exist is answered with the nearest and with all."""
    with pytest.raises(ProfileError, match="Unknown device 'raspberry-pi-4'") as caught:
        load_profile("raspberry-pi-4")
    assert "Did you mean raspberry-pi-4b?" in (caught.value.remedy or "")
    assert all(name in (caught.value.remedy or "") for name in SHIPPED)


def test_a_path_is_a_file_of_the_users_own(write: Callable[..., str]) -> None:
    """The file's name is the device's unless the file says otherwise."""
    assert load_profile(write(SSH, "my-pi")).name == "my-pi"
    assert load_profile(write(SSH + 'name = "kitchen"\n', "my-pi")).name == "kitchen"


def test_a_mark_at_the_beginning_is_no_content(write: Callable[..., str]) -> None:
    """Editors of Windows put one there."""
    assert load_profile(write("\N{BYTE ORDER MARK}" + SSH, "my-pi")).name == "my-pi"


def test_own_folder_by_option_and_by_environment(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Profiles in the user's folder are listed, and hide shipped ones of the same name."""
    write(SSH, "my-pi")
    write('transport = "local"\nthreads = 2\n', "local")
    assert load_profile("my-pi", folder=tmp_path).address == "pi@raspberrypi.local"
    assert load_profile("local", folder=tmp_path).threads == 2
    (tmp_path / ".#my-pi.toml").symlink_to("somebody@somewhere.1234")  # an editor's
    assert {profile.name for profile in list_profiles(tmp_path)} == SHIPPED | {"my-pi"}
    assert load_profile("local").threads == 1
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert load_profile("local").threads == 2


def test_own_folder_that_is_wrong(write: Callable[..., str], tmp_path: Path) -> None:
    """No such folder, and a file whose name says one thing and its content another."""
    with pytest.raises(ProfileError, match="nowhere is not a folder"):
        load_profile("local", folder=tmp_path / "nowhere")
    write(SSH + 'name = "kitchen"\n', "my-pi")
    with pytest.raises(ProfileError, match="name: is 'kitchen'"):
        load_profile("my-pi", folder=tmp_path)


def test_overrides_are_typed_by_the_model() -> None:
    """Texts become what the field is: numbers, lists, choices, keys of a section; an empty text clears."""
    profile = load_profile(
        "emulator-cortex-a72",
        overrides={
            "emulator.memory_mb": "4096",
            "affinity": "0, 3",
            "threads": "2",
            "cool_down_c": "55.5",
            "runtimes": "litert,onnxruntime",
            "runtime": "onnxruntime",
        },
    )
    assert profile.emulator is not None
    assert (profile.emulator.cpu, profile.emulator.memory_mb) == ("cortex-a72", 4096)
    assert (profile.affinity, profile.threads, profile.cool_down_c) == ((0, 3), 2, 55.5)
    assert profile.runtime is EngineName.ONNXRUNTIME
    assert load_profile("raspberry-pi-5", overrides={"cool_down_c": ""}).cool_down_c is None
    assert load_profile("android", overrides={"fixed_performance": "false"}).fixed_performance is False


@pytest.mark.parametrize(
    ("text", "processors"), [("7", (7,)), ("[7]", (7,)), (" [ 4, 7 ] ", (4, 7)), ("[]", ()), ("", ())]
)
def test_a_list_may_stand_in_brackets(text: str, processors: tuple[int, ...]) -> None:
    """As it does in the file; one pair, and both of them."""
    assert load_profile("android", overrides={"affinity": text}).affinity == processors
    for wrong in ("[7", "7]", "[[7]]"):
        with pytest.raises(ProfileError):
            load_profile("android", overrides={"affinity": wrong})


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("adress", "pi@x", "unknown key 'adress'"),
        ("threads", "four", "`overrides` threads=four"),
        ("threads", "0", "`overrides` threads=0: threads: Input should be greater"),
        ("emulator", "x", "is a section"),
        ("emulator.cores", "4", "unknown key 'cores'"),
        ("board.memory_mb", "4", "no section 'board'"),
        ("threads.x", "4", "no section 'threads'"),
        ("runtime", "tensorrt", "`overrides` runtime=tensorrt"),
        ("address", "pi@x\nreboot", "`overrides` address='pi@x\\nreboot': "),
        ("address", "pi@x;reboot", "`overrides` address=pi@x;reboot: "),
    ],
)
def test_wrong_overrides_name_themselves(key: str, text: str, says: str) -> None:
    """The message holds the option as it was given."""
    with pytest.raises(ProfileError) as caught:
        load_profile("emulator-cortex-a72", overrides={key: text})
    assert says in caught.value.message


WRONG = {
    "an unknown key": ('adress = "pi@x"', "adress: unknown key. Did you mean address?"),
    "an unknown key of a section": ('[emulator]\ncpu = "cortex-a72"\ncores = 4', "emulator.cores: unknown key"),
    "a number as text": ('threads = "4"', "threads: "),
    "a fraction": ("threads = 1.5", "threads: "),
    "too many threads": ("threads = 65", "threads: "),
    "a date": ("threads = 2024-01-01", "threads: "),
    "no number": ("cool_down_c = nan", "cool_down_c: "),
    "infinity": ("max_temperature_c = inf", "max_temperature_c: "),
    "a list of texts": ('affinity = ["0"]', "affinity.0: "),
    "an unknown runtime": ('runtime = "tensorrt"', "runtime: "),
    "a runtime not offered": ('runtimes = ["onnxruntime"]', "runtime: litert is not among runtimes"),
    "no runtimes": ("runtimes = []", "runtimes: "),
    "a key of another transport": ('serial = "R58M"', "serial: has no meaning for the transport ssh"),
    "an unknown clock": ('clock = "sundial"', "clock: "),
    "a processor twice": ("affinity = [1, 1]", "affinity: names a processor twice"),
    "more threads than processors": ("affinity = [1]\nthreads = 2", "threads: 2 threads do not fit"),
    "cooling above the limit": ("cool_down_c = 70\nmax_temperature_c = 60", "cool_down_c: is above"),
    "a metacharacter in the address": ('address = "pi@x;reboot"', "address: "),
    "a newline in the address": ('address = "pi@x\\nProxyCommand reboot"', "address: "),
    "a space in the address": ('address = "pi@x -oProxyCommand=reboot"', "address: "),
    "an option as address": ('address = "-oProxyCommand=reboot"', "address: "),
    "an option as host": ('address = "pi@-oProxyCommand"', "address: "),
    "an empty address": ('address = ""', "address: "),
    "a substitution in a path": ('workdir = "/tmp/$(reboot)"', "workdir: "),
    "a back quote in a path": ('python = "`reboot`"', "python: "),
    "a newline in a path": ('python = "python3\\nreboot"', "python: "),
    "an option as path": ('workdir = "-rf"', "workdir: '-rf' starts with a dash"),
    "a home in a path": ('python = "~/venv/bin/python"', "python: '~/venv/bin/python' starts with ~"),
    "a path from nowhere": ('python = "venv/bin/python"', "python: 'venv/bin/python' does not say where it begins"),
    "a zero byte in a path": ('identity = "a\\u0000b"', "identity: "),
    "a slash in the name": ('name = "../board"', "name: "),
    "a newline in the name": ('name = "a\\nb"', "name: "),
    "a newline at the end of the name": ('name = "a\\n"', "name: "),
    "an escape in the description": ('description = "\\u001b[2J"', "description: "),
    "a path of a mile": (f'workdir = "/{"x" * 2000}"', "workdir: "),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG.keys())
def test_wrong_profiles_name_file_and_key(write: Callable[..., str], text: str, says: str) -> None:
    """One message each, beginning with the file and the key."""
    head = "" if "address =" in text else 'address = "pi@x"\n'
    path = write(f'transport = "ssh"\n{head}{text}\n')
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert caught.value.message.startswith(f"{path}: {says}")
    assert "\n" not in caught.value.message


def test_metacharacters_in_a_serial(write: Callable[..., str]) -> None:
    """A serial number is one word of a command line."""
    for serial in ("R58M;reboot", "-s", " a", "a ", "a\\nb", ""):
        with pytest.raises(ProfileError, match=r"serial: "):
            load_profile(write(f'transport = "adb"\nserial = "{serial}"\n'))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('transport = "local"\nclock = "icount"\n', "clock: icount is not the clock of local"),
        ('transport = "emulator"\n[emulator]\ncpu = "cortex-a72"\n', "clock: the emulator counts instructions"),
        ('transport = "emulator"\nclock = "icount"\n', "emulator: the transport emulator needs a section"),
        ('transport = "adb"\nserial = "a"\naddress = "b:5555"\n', "serial: give either"),
        ('transport = "adb"\nidentity = "key"\n', "identity: has no meaning"),
        ('transport = "local"\nfixed_performance = true\n', "fixed_performance: has no meaning"),
        ('transport = "carrier pigeon"\n', "transport: "),
        ("", "transport: "),
        ("transport = ", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML"),
        ("#" * 200_000, "is larger than"),
    ],
)
def test_other_wrong_files(write: Callable[..., str], text: str, says: str) -> None:
    """What is wrong between keys, and what is no profile at all."""
    with pytest.raises(ProfileError) as caught:
        load_profile(write(text))
    assert says in caught.value.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """No such file, a folder, and something that is not text."""
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, says in (("none", "could not be read"), ("folder", "could not be read"), ("binary", "not text")):
        with pytest.raises(ProfileError, match=says):
            load_profile(str(tmp_path / f"{name}.toml"))
    with pytest.raises(ProfileError, match="could not be read"):
        load_profile("a\0b.toml")


def test_paths_may_hold_spaces_and_quotes() -> None:
    """What is only unusual is allowed."""
    profile = DeviceProfile(name="x", transport="ssh", address="fe80::1%eth0", workdir="/home/a 'b\" (c)/é")
    assert profile.workdir == "/home/a 'b\" (c)/é"
