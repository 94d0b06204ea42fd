"""Phones over ADB: the real adb program against a daemon that speaks a phone's side of the protocol."""

from __future__ import annotations

import os
import random
import shlex
import sys
import time
from typing import TYPE_CHECKING

import pytest
from small_onnx import onnx_model

from edgewidth.cli.wording import with_flags
from edgewidth.devices.device import open_device
from edgewidth.devices.measure.campaign import measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import DeviceProfile, load_profile
from edgewidth.devices.reach import adb_client
from edgewidth.devices.reach.adb import AdbTransport
from edgewidth.devices.reach.adb_client import AdbClient, Phone, network_serial
from edgewidth.devices.reach.shell_facts import parse_thermalservice, shell_facts, shell_state
from edgewidth.errors import DeviceError, MissingPackageError, TransientDeviceError
from edgewidth.progress import SILENT, Silent
from edgewidth.records.measurement import Engine, Precision, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devices.adb_daemon import AdbDaemon

AWKWARD = ["a b", "it's", 'say "x"', "-dash", "$(touch injected)", "; touch injected", "`id`", "ü\n2", "", "*", "\\"]


class Ears(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def say(self, text: str) -> None:
        self.heard.append(text)


def profile_of(phone: AdbDaemon, tmp_path: Path, **more: object) -> DeviceProfile:
    """The profile of a phone in the network, whose working folder has an awkward name."""
    fields = {"address": phone.serial, "workdir": f'{tmp_path}/it\'s a "phone"', "python": sys.executable} | more
    return DeviceProfile(name="phone", transport="adb", **fields)


@pytest.fixture
def phone(make_phone: Callable[..., AdbDaemon]) -> AdbDaemon:
    return make_phone()


@pytest.fixture
def link(phone: AdbDaemon, tmp_path: Path) -> AdbTransport:
    return AdbTransport.open(profile_of(phone, tmp_path), SILENT)


def test_a_whole_campaign_over_adb(phone: AdbDaemon, tmp_path: Path) -> None:
    """A phone with Python: the runner works there, detached; a cut in the middle loses nothing."""
    policy = Policy(rounds=3, visit_ms=20, warmup_min_ms=3, warmup_max_ms=50, remeasure=0)
    profile = profile_of(phone, tmp_path, runtime=Runtime.ONNXRUNTIME, runtimes=(Runtime.ONNXRUNTIME,))
    phone.cut_after = 60_000
    with open_device(profile) as device, MeasurementStore(tmp_path / "m.sqlite") as store:
        setting = device.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
        measure(device, setting, [onnx_model(8), onnx_model(64, 128, 128)], store, policy=policy)
        visits = store.visits(setting)
        left = device.transport.run(["ls", "-A"]).stdout
    assert {key: sorted(visit.round for visit in some) for key, some in visits.items()} == {
        "8": [0, 1, 2],
        "64-128-128": [0, 1, 2],
    }
    assert not phone.cut_after, "the link was cut"
    assert left == b"", "the phone is left as it was found"


def put_program(tmp_path: Path, name: str, script: str) -> None:
    """A program that the phone finds on its search path."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / name).chmod(0o755)


def test_a_command_keeps_its_words_streams_and_status(link: AdbTransport) -> None:
    """Nothing is split, expanded or executed on the way; both streams and the status arrive apart."""
    done = link.run([sys.executable, "-c", "import sys; print(sys.argv[1:])", *AWKWARD])
    assert (done.returncode, done.stdout.decode()) == (0, f"{AWKWARD}\n")
    done = link.run(["sh", "-c", "cat; echo trouble >&2; exit 3"], stdin=b"\0raw\r\n\xff")
    assert done == (3, b"\0raw\r\n\xff", b"trouble\n")
    assert link.run(["pwd"]).stdout.decode() == f"{link.workdir}\n"
    assert [link.run(["sh", "-c", f"exit {code}"]).returncode for code in (0, 1, 127, 255)] == [0, 1, 127, 255]
    assert link.run(["no-such-program"]).returncode == 127
    assert link.run(["sh", "-c", "kill -9 $$"]).returncode == 137
    assert link.run(["ls", "-A"]).stdout == b"", "nothing was injected"


def test_files_keep_their_names_and_content(link: AdbTransport, tmp_path: Path) -> None:
    """Names with spaces, quotes and leading dashes, in folders that are made, from content and from files."""
    source = tmp_path / "-source file"
    source.write_bytes(bytes(range(256)))
    files: dict[str, Path | bytes] = {
        f"folder '{i % 2}'/{name}": name.encode() for i, name in enumerate(AWKWARD) if name.isprintable() and name
    }
    link.put({**files, "-dash": b"", "from-file": source, f"{link.workdir}/absolute": b"1"})
    assert {path: link.get(path) for path in files} == files
    assert (link.get("-dash"), link.get("from-file"), link.get("absolute")) == (b"", source.read_bytes(), b"1")
    assert not list(tmp_path.rglob("injected"))


def test_get_says_what_is_missing_or_too_large(link: AdbTransport) -> None:
    link.put({"file": b"12345"})
    assert link.get("file", max_bytes=5) == b"12345"
    with pytest.raises(DeviceError, match="5 bytes, more than 4"):
        link.get("file", max_bytes=4)
    with pytest.raises(DeviceError, match="no file"):
        link.get("other")


def test_64_megabytes_both_ways(link: AdbTransport) -> None:
    content = random.Random(0).randbytes(64_000_000)
    link.put({"large": content})
    assert link.get("large") == content


def test_read_goes_on_from_any_offset(link: AdbTransport) -> None:
    """What is read from an offset is what the file holds there, whatever the block size of the reader."""
    rng = random.Random(1)
    content = rng.randbytes(300_000)
    link.put({"log": content})
    places = [(0, 1), (65_535, 2), (65_536, 65_536), (299_999, 100), (300_000, 10), (1_000_000, 10)]
    places += [(rng.randrange(300_000), rng.randrange(1, 200_000)) for _ in range(6)]
    for offset, count in places:
        assert link.read("log", offset, max_bytes=count) == content[offset : offset + count]
    assert link.read("nothing", 0) == b""


def test_a_started_command_outlives_the_link(link: AdbTransport, phone: AdbDaemon) -> None:
    """A job that writes lines goes on while the link is down, and none is lost."""
    script = "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.25; done; echo trouble >&2"
    started = time.monotonic()
    link.start(["sh", "-c", script], log="a log")
    assert time.monotonic() - started < 1.5, "start does not wait for the command"
    time.sleep(0.4)
    phone.cut()
    time.sleep(2.2)
    lines = link.read("a log", 0).decode().splitlines()
    assert lines == [f"line {i}" for i in range(1, 9)] + ["trouble"]
    link.start(["no-such-program"], log="log")
    time.sleep(0.2)
    assert b"no-such-program" in link.read("log", 0)


def test_a_cut_link_is_told_from_a_failed_command(link: AdbTransport, phone: AdbDaemon) -> None:
    """A command in flight is lost with the link, and the next call connects again."""
    import threading

    threading.Timer(0.5, phone.cut).start()
    with pytest.raises(TransientDeviceError, match="was lost"):
        link.run(["sleep", "20"])
    assert link.run(["echo", "back"]).stdout == b"back\n"


def test_cut_in_the_middle_of_a_push(link: AdbTransport, phone: AdbDaemon) -> None:
    """The copy is made again, and arrives whole."""
    content = random.Random(2).randbytes(30_000_000)
    phone.cut_after = 12_000_000
    link.put({"model": content})
    assert not phone.cut_after, "the link was cut"
    assert link.get("model") == content


def test_a_phone_that_is_off_and_on_again(
    link: AdbTransport, phone: AdbDaemon, make_phone: Callable[..., AdbDaemon]
) -> None:
    """While it is off every call says so in time; afterwards the same transport goes on."""
    link.put({"file": b"kept"})
    phone.stop()
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(TransientDeviceError):
            link.read("file", 0)
        assert time.monotonic() - started < 30
    make_phone(port=phone.port)
    assert link.read("file", 0) == b"kept"


def test_nothing_is_asked_of_a_phone_that_was_let_go(link: AdbTransport) -> None:
    """Whoever still holds the transport does not bring the link back."""
    link.close()
    for call in (lambda: link.run(["true"]), lambda: link.put({"a": b""}), lambda: link.read("a", 0)):
        with pytest.raises(DeviceError, match="was let go"):
            call()


def test_no_call_waits_for_ever(link: AdbTransport) -> None:
    started = time.monotonic()
    with pytest.raises(TransientDeviceError, match="within 1 s"):
        link.run(["sleep", "30"], timeout_s=1)
    assert time.monotonic() - started < 5
    assert link.run(["echo", "on"]).stdout == b"on\n"


def test_a_device_that_prints_without_end(link: AdbTransport) -> None:
    with pytest.raises((DeviceError, TransientDeviceError), match=r"printed more than|did not answer"):
        link.run(["yes"], timeout_s=10)


def test_a_full_disk_is_said_once(link: AdbTransport) -> None:
    """What another try cannot mend is a DeviceError."""
    with pytest.raises(DeviceError, match="No space left"):
        link.put({"/dev/full": b"x" * 100_000})
    with pytest.raises(DeviceError, match="could not be made"):
        link.put({"/proc/none/file": b"x"})


def test_a_working_folder_that_cannot_be_made(phone: AdbDaemon, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="/proc/none could not be made") as caught:
        AdbTransport.open(profile_of(phone, tmp_path, workdir="/proc/none"), SILENT)
    assert "`workdir=" in (caught.value.remedy or "")


def test_an_unauthorised_phone(make_phone: Callable[..., AdbDaemon], tmp_path: Path) -> None:
    phone = make_phone(state="unauthorized")
    with pytest.raises(DeviceError, match="has not authorised this computer") as caught:
        AdbTransport.open(profile_of(phone, tmp_path), SILENT)
    assert "accept the question" in (caught.value.remedy or "")


def test_an_offline_phone(
    make_phone: Callable[..., AdbDaemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another try may help, so the error is a transient one; it comes in time."""
    monkeypatch.setattr(adb_client, "_SETTLE_S", 1.0)
    phone = make_phone(state="offline")
    started = time.monotonic()
    with pytest.raises(TransientDeviceError):
        AdbTransport.open(profile_of(phone, tmp_path), SILENT)
    assert time.monotonic() - started < 30


def test_an_old_phone(make_phone: Callable[..., AdbDaemon], tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="does not tell how a command ended"):
        AdbTransport.open(profile_of(make_phone(state="old"), tmp_path), SILENT)


def test_which_phone_is_meant(
    adb: AdbClient, make_phone: Callable[..., AdbDaemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None attached, one, several; named by serial, by the environment, wrongly."""
    anyone = DeviceProfile(name="phone", transport="adb", workdir=str(tmp_path / "w"))
    with pytest.raises(DeviceError, match="No phone is attached"):
        adb.select(anyone)
    one, two = make_phone(), make_phone()
    adb.connect(one.serial)
    assert adb.select(anyone) == one.serial
    adb.connect(two.serial)
    with pytest.raises(DeviceError, match="Several phones") as caught:
        adb.select(anyone)
    assert one.serial in caught.value.message
    assert two.serial in caught.value.message
    assert "`serial=" in (caught.value.remedy or "")
    assert adb.select(anyone.model_copy(update={"serial": two.serial})) == two.serial
    with pytest.raises(DeviceError, match="No phone R58M is attached") as caught:
        adb.select(anyone.model_copy(update={"serial": "R58M"}))
    assert one.serial in (caught.value.remedy or "")
    monkeypatch.setenv("ANDROID_SERIAL", one.serial)
    assert adb.select(anyone) == one.serial


def test_nobody_at_the_address(adb: AdbClient, make_phone: Callable[..., AdbDaemon], tmp_path: Path) -> None:
    del adb
    phone = make_phone()
    phone.stop()
    with pytest.raises(TransientDeviceError, match=f"No phone answers at {phone.serial}"):
        AdbTransport.open(profile_of(phone, tmp_path), SILENT)


def test_the_list_of_phones(monkeypatch: pytest.MonkeyPatch) -> None:
    """As adb prints it for all states, and with nonsense in between."""
    text = (
        "* daemon started successfully\nList of devices attached\nR58M\tdevice\nemulator-5554\toffline\n"
        "X1\tunauthorized\nX2\tno permissions (user in plugdev group; are your udev rules wrong?); see [http://x]\n\n"
    )
    client = AdbClient("adb")
    from edgewidth.devices.reach.transport import Completed

    monkeypatch.setattr(client, "call", lambda *_, **__: Completed(0, text.encode(), b""))
    assert client.phones() == [
        Phone("R58M", "device"),
        Phone("emulator-5554", "offline"),
        Phone("X1", "unauthorized"),
        Phone("X2", "no permissions"),
    ]


@pytest.mark.parametrize(
    ("address", "serial"),
    [
        ("10.0.0.7", "10.0.0.7:5555"),
        ("10.0.0.7:41000", "10.0.0.7:41000"),
        ("phone.lan", "phone.lan:5555"),
        ("fe80::1", "[fe80::1]:5555"),
        ("[fe80::1]:41000", "[fe80::1]:41000"),
    ],
)
def test_addresses_become_serials(address: str, serial: str) -> None:
    assert network_serial(address) == serial


def test_without_any_adb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "adbutils", None)
    with pytest.raises(MissingPackageError) as caught:
        AdbClient.find()
    assert caught.value.remedy == "pip install 'edgewidth[adb]'"


def test_fixed_performance_mode_is_put_back(phone: AdbDaemon, tmp_path: Path) -> None:
    """On when the profile asks, off when closed; after a killed program, off at the next visit."""
    put_program(tmp_path, "cmd", f'echo "$@" >>"{tmp_path}/asked"')
    asked = tmp_path / "asked"
    fixed, plain = profile_of(phone, tmp_path, fixed_performance=True), profile_of(phone, tmp_path)
    on, off = (f"power set-fixed-performance-mode-enabled {word}" for word in ("true", "false"))
    AdbTransport.open(plain, SILENT).close()
    assert not asked.exists(), "nothing is changed unasked"
    link = AdbTransport.open(fixed, SILENT)
    assert asked.read_text().splitlines() == [on]
    phone.cut()
    link.close()
    assert asked.read_text().splitlines() == [on, off]
    AdbTransport.open(fixed, SILENT)  # and never closed
    AdbTransport.open(plain, SILENT)
    assert asked.read_text().splitlines() == [on, off, on, off]
    AdbTransport.open(plain, SILENT)
    assert asked.read_text().splitlines() == [on, off, on, off]


def test_fixed_performance_mode_that_is_not_there_or_stays(phone: AdbDaemon, tmp_path: Path) -> None:
    """A phone without it is told; so is one that is gone before it could be put back."""
    ears = Ears()
    put_program(tmp_path, "cmd", "echo unknown command >&2; exit 255")
    AdbTransport.open(profile_of(phone, tmp_path, fixed_performance=True), ears)
    assert "no fixed-performance mode: unknown command" in ears.heard[0]
    put_program(tmp_path, "cmd", "exit 0")
    link = AdbTransport.open(profile_of(phone, tmp_path, fixed_performance=True), ears)
    phone.stop()
    link.close()
    assert "still in fixed-performance mode" in ears.heard[1]


GETPROP = """case $1 in ro.product.manufacturer) echo Google;; ro.product.model) echo Pixel 8;;
ro.soc.manufacturer) echo Google;; ro.soc.model) echo Tensor G3;; ro.build.version.release) echo 15;; esac"""

THERMAL = """IsStatusOverride: false
Thermal Status: {status}
Cached temperatures:
	Temperature{{mValue=99.0, mType=0, mName=CPU, mStatus=0}}
HAL Ready: true
Current temperatures from HAL:
	Temperature{{mValue=45.5, mType=0, mName=CPU0, mStatus=0}}
	Temperature{{mValue=47.25, mType=0, mName=CPU1, mStatus=0}}
	Temperature{{mValue=60.0, mType=1, mName=GPU, mStatus=0}}
	Temperature{{mValue=31.0, mType=3, mName=skin, mStatus=0}}
Current cooling devices from HAL:
	CoolingDevice{{mValue=0, mType=2, mName=cpu}}
"""


def test_facts_of_a_phone(link: AdbTransport, tmp_path: Path) -> None:
    """Android's properties name it; its processors and memory are the machine's; Python's runtimes are added."""
    put_program(tmp_path, "getprop", GETPROP)
    facts = link.facts()
    assert (facts.model, facts.processor) == ("Google Pixel 8", "Google Tensor G3")
    assert (facts.system or "").startswith("Android 15, Linux")
    assert facts.cores == os.cpu_count()
    assert facts.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts.architecture == os.uname().machine
    assert facts.python == sys.version.split()[0]
    assert "onnxruntime" in facts.runtimes


def test_facts_without_python(phone: AdbDaemon, tmp_path: Path) -> None:
    link = AdbTransport.open(profile_of(phone, tmp_path, python="/no/python"), SILENT)
    facts = link.facts()
    space = os.statvfs(tmp_path)
    assert (facts.python, facts.runtimes) == (None, {})
    assert facts.cores == os.cpu_count()
    assert facts.free_bytes is not None
    assert abs(facts.free_bytes - space.f_bavail * space.f_frsize) < 2e9
    assert shell_facts(link).hardware == facts.hardware


def test_state_of_a_phone(link: AdbTransport, tmp_path: Path) -> None:
    """Temperature and throttling as Android says them, the rest from the kernel."""
    put_program(tmp_path, "dumpsys", f"cat <<'END'\n{THERMAL.format(status=2)}\nEND")
    first = shell_state(link)
    assert (first.temperature_c, first.throttled) == (47.25, ("throttled",))
    assert first.load_1m is not None
    assert first.available_bytes
    assert first.swapped_pages is not None
    link.run(["sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"])
    last = shell_state(link, ends=True)
    assert first.busy_s is not None
    assert last.busy_s is not None
    assert first.uptime_s is not None
    assert last.uptime_s is not None
    assert first.busy_s < last.busy_s <= first.busy_s + (last.uptime_s - first.uptime_s + 0.1) * (os.cpu_count() or 1)


def test_thermal_service_in_all_versions() -> None:
    """With and without the current readings, without any processor, and without anything."""
    assert parse_thermalservice(THERMAL.format(status=0)) == (47.25, ())
    cached = "Thermal Status: 1\nCached temperatures:\n Temperature{mValue=33.5, mType=3, mName=skin, mStatus=1}\n"
    assert parse_thermalservice(cached) == (33.5, ("throttled",))
    assert parse_thermalservice("Can't find service: thermalservice") == (None, ())


AWKWARD_SERIALS = ("adb-R5CT (2)._adb-tls-connect._tcp", "adb-R5CT._adb-tls-connect._tcp")


@pytest.fixture
def renamed(phone: AdbDaemon, adb: AdbClient, tmp_path: Path) -> Callable[..., AdbClient]:
    """The real adb, seen through a program that lists the phone under other names."""
    adb.call("connect", phone.serial)

    def make(*serials: str) -> AdbClient:
        listed = "".join(f"{serial}\\tdevice\\n" for serial in serials)
        program = tmp_path / "adb"
        program.write_text(
            f"#!/bin/sh\nif [ \"$1\" = devices ]; then printf 'List of devices attached\\n{listed}'; exit; fi\n"
            f'if [ "$1" = -s ]; then [ "$2" = "{serials[-1]}" ] || exit 9; shift 2; set -- -s {phone.serial} "$@"; fi\n'
            f'exec {adb.program} "$@"\n'
        )
        program.chmod(0o755)
        return AdbClient(str(program))

    return make


def test_a_serial_with_spaces_and_brackets(renamed: Callable[..., AdbClient], tmp_path: Path) -> None:
    """As wireless debugging makes them: alone, and as one of several, where the remedy names it as one types it."""
    awkward, plain = AWKWARD_SERIALS
    profile = DeviceProfile(name="phone", transport="adb", workdir=str(tmp_path / "work"))
    alone = AdbTransport(renamed(awkward), profile)
    assert alone.run(["echo", "a b"]).stdout == b"a b\n"
    with pytest.raises(DeviceError, match="Several phones are attached") as caught:
        AdbTransport(renamed(awkward, plain), profile)
    typed = shlex.split(with_flags(caught.value.remedy or "").removeprefix("Name one: "))
    assert typed == ["--set", f"serial={awkward}"]
    (tmp_path / "phone.toml").write_text('transport = "adb"\n')
    overrides = {"serial": awkward, "workdir": str(tmp_path / "work")}
    one = AdbTransport(renamed(plain, awkward), load_profile(str(tmp_path / "phone.toml"), overrides=overrides))
    one.put({"model": b"x"})
    assert one.get("model") == b"x"
