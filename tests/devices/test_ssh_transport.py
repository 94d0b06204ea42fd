"""Devices over SSH, with a real server on loopback; what arrived is looked at in the file system itself."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from loopback_sshd import Cable, Server, free_port, make_key, sshd
from support import require

from edgewidth.devices.device import Device
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.devices.reach.destination import Destination
from edgewidth.devices.reach.ssh import SshTransport
from edgewidth.devices.reach.ssh_errors import refusal
from edgewidth.errors import DeviceError, FileError, ProfileError, TransientDeviceError
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Engine, Precision, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

AWKWARD = 'a b/it\'s "q"/-r $(id); *'
"""A path that a shell would make something else of."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not harm it."""
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def profile_in(folder: Path, **changes: object) -> DeviceProfile:
    """A profile whose working folder is below ``folder``."""
    fields = {"name": "pi", "transport": "ssh", "workdir": str(folder / "work dir"), "python": sys.executable} | changes
    return DeviceProfile.model_validate(fields)


@pytest.fixture
def device(server: Server, tmp_path: Path) -> Iterator[SshTransport]:
    """A connected device whose files are in ``tmp_path / "work dir"``."""
    transport = SshTransport(server.configure(), profile_in(tmp_path))
    yield transport
    transport.close()


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("nonsense", 127)]
)
def test_exit_status_is_the_command_s_own(device: SshTransport, script: str, status: int) -> None:
    """Also where it is the one that ssh uses for its own failures."""
    assert device.run(["sh", "-c", script]).returncode == status


def test_words_arrive_as_they_are(device: SshTransport, tmp_path: Path) -> None:
    """No shell on the way makes anything of them; streams are kept apart; the folder is ours."""
    words = ["a b", "$(id)", "'", '"', "*", "-n", "", "\\", "é", "new\nline"]
    done = device.run(["printf", "%s|", *words], stdin=b"unread")
    assert done.stdout.decode() == "".join(f"{word}|" for word in words)
    done = device.run(["sh", "-c", "pwd; cat >&2"], stdin=b"to stderr")
    assert (done.stdout.decode(), done.stderr) == (f"{tmp_path}/work dir\n", b"to stderr")
    assert device.run(["-not-an-option"]).returncode == 127


def test_files_go_there_and_back(device: SshTransport, tmp_path: Path) -> None:
    """In one go, whatever their paths; what was there is replaced."""
    big = os.urandom(3_000_000)
    (tmp_path / "local file").write_bytes(big)
    absolute = str(tmp_path / "elsewhere" / "x")
    device.put({"m/1.tflite": b"old"})
    device.put({AWKWARD: b"awkward", "m/1.tflite": tmp_path / "local file", absolute: b"far", "-dash": b""})
    here = tmp_path / "work dir"
    assert (here / AWKWARD).read_bytes() == b"awkward"
    assert (here / "m/1.tflite").read_bytes() == big
    assert Path(absolute).read_bytes() == b"far"
    assert (here / "-dash").read_bytes() == b""
    assert device.get(AWKWARD) == b"awkward"
    assert device.get("m/1.tflite") == big
    assert device.get(absolute) == b"far"


def test_reading_goes_on_where_it_stopped(device: SshTransport, tmp_path: Path) -> None:
    """By byte offset, in parts, and nothing where there is nothing."""
    (tmp_path / "work dir" / AWKWARD).parent.mkdir(parents=True)
    (tmp_path / "work dir" / AWKWARD).write_bytes(b"0123456789")
    assert device.read(AWKWARD, 0) == b"0123456789"
    assert device.read(AWKWARD, 4, max_bytes=3) == b"456"
    assert device.read(AWKWARD, 10) == b""
    assert device.read(AWKWARD, 99) == b""
    assert device.read("missing", 0) == b""


def test_what_a_device_prints_is_bounded(device: SshTransport, tmp_path: Path) -> None:
    """A gigabyte is not read, and the link serves on."""
    with pytest.raises(DeviceError, match="more than 64 MB"):
        device.run(["yes"])
    (tmp_path / "work dir" / "large").write_bytes(b"x" * 1001)
    with pytest.raises(DeviceError, match="larger than 1000 bytes"):
        device.get("large", max_bytes=1000)
    with pytest.raises(DeviceError, match="no file missing"):
        device.get("missing")
    assert device.run(["echo", "here"]).stdout == b"here\n"


def test_a_command_that_never_ends(device: SshTransport) -> None:
    """It is given up in time, and the next one works."""
    begin = time.monotonic()
    with pytest.raises(TransientDeviceError, match="longer than 1 s"):
        device.run(["sleep", "60"], timeout_s=1.0)
    assert time.monotonic() - begin < 10
    assert device.run(["true"]).returncode == 0


def test_started_commands_outlive_the_link(device: SshTransport, tmp_path: Path) -> None:
    """They go on after the transport is closed; both streams are in the log, which is appended to."""
    device.put({"log file": b"before\n"})
    device.start(["sh", "-c", "echo out; echo err >&2; sleep 0.5; echo 'still here'"], log="log file")
    device.close()
    log = tmp_path / "work dir" / "log file"
    deadline = time.monotonic() + 10
    while b"still" not in log.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert log.read_bytes() == b"before\nout\nerr\nstill here\n"


def test_facts_with_and_without_python(server: Server, tmp_path: Path) -> None:
    """The device says what it is, if need be without Python."""
    for python, version in ((sys.executable, platform.python_version()), ("no-such-python", None)):
        device = SshTransport(server.configure(), profile_in(tmp_path, python=python))
        facts = device.facts()
        device.close()
        assert (facts.architecture, facts.python) == (platform.machine(), version)
        assert facts.free_bytes
        assert facts.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_cut_link_loses_nothing(server: Server, tmp_path: Path) -> None:
    """A detached job goes on while the link is cut; every line is read, once."""
    with Cable(server.port) as cable:
        options = {"Port": cable.port, "HostKeyAlias": f"[127.0.0.1]:{server.port}"}
        device = SshTransport(server.configure(**options), profile_in(tmp_path))
        job = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; sleep 0.05; done"
        device.start(["sh", "-c", job], log="lines")
        read, cuts, deadline = b"", 0, time.monotonic() + 40
        while b"line 60\n" not in read and time.monotonic() < deadline:
            read += device.read("lines", len(read))
            if len(read) > 150 * (cuts + 1) and cuts < 2:
                cable.cut()
                cuts += 1
                time.sleep(0.3)
                cable.restore()
        device.close()
    assert read.decode() == "".join(f"line {i}\n" for i in range(1, 61))
    assert cuts == 2


def test_a_link_cut_during_a_command(server: Server, tmp_path: Path) -> None:
    """That command may have run, so it is not repeated; the next one connects again."""
    with Cable(server.port) as cable:
        options = {"Port": cable.port, "HostKeyAlias": f"[127.0.0.1]:{server.port}"}
        device = SshTransport(server.configure(**options), profile_in(tmp_path))
        device.put({"count": b""})
        threading.Timer(0.5, cable.cut).start()
        with pytest.raises(TransientDeviceError, match="link to board broke") as caught:
            device.run(["sh", "-c", "echo once >>count; sleep 20"])
        assert "\n" not in caught.value.message
        cable.restore()
        assert device.run(["cat", "count"]).stdout == b"once\n"
        device.close()


def test_the_connection_ends_with_this_program(server: Server, tmp_path: Path) -> None:
    """Even where that is killed: no ssh process and no socket holder is left."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from edgewidth.devices.profiles import DeviceProfile\n"
        "from edgewidth.devices.reach.ssh import SshTransport\n"
        "from edgewidth.devices.reach.destination import Destination\n"
        "p = DeviceProfile(name='pi', transport='ssh', workdir=sys.argv[2])\n"
        "t = SshTransport(Destination('board', None, ('-F', sys.argv[1])), p)\n"
        "print(t._link._master._process.pid, flush=True); time.sleep(60)\n"
    )
    config = server.configure().options[1]
    command = [sys.executable, "-c", code, config, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        master = int(program.stdout.readline())
        assert Path(f"/proc/{master}").exists()
        program.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{master}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{master}").exists()


def test_unknown_and_changed_host_keys(server: Server, tmp_path: Path) -> None:
    """Both are refused, each with its own remedy."""
    (tmp_path / "none").write_text("")
    with pytest.raises(DeviceError, match=r"host key of board is unknown") as caught:
        SshTransport(server.configure(UserKnownHostsFile=tmp_path / "none"), profile_in(tmp_path))
    assert caught.value.remedy == "Connect once by hand and compare it: ssh board"
    other = make_key(tmp_path / "other")
    (tmp_path / "changed").write_text(f"[127.0.0.1]:{server.port} {other}")
    with pytest.raises(DeviceError, match=r"not the one that this machine knows") as caught:
        SshTransport(server.configure(UserKnownHostsFile=tmp_path / "changed"), profile_in(tmp_path))
    assert caught.value.remedy is not None
    assert f'ssh-keygen -f "{tmp_path}/changed" -R "[127.0.0.1]:{server.port}"' in caught.value.remedy


def test_a_refused_key_asks_for_no_password(server: Server, tmp_path: Path) -> None:
    """The server would take a password; nobody is asked for one."""
    make_key(tmp_path / "stranger")
    begin = time.monotonic()
    with pytest.raises(DeviceError, match=r"does not let this user in.*Permission denied") as caught:
        SshTransport(server.configure(IdentityFile=tmp_path / "stranger"), profile_in(tmp_path))
    assert time.monotonic() - begin < 10
    assert "ssh-copy-id board" in (caught.value.remedy or "")


def test_nobody_listens(server: Server, tmp_path: Path) -> None:
    """A device that is switched off may come back."""
    with pytest.raises(TransientDeviceError, match=r"board cannot be reached: .*Connection refused"):
        SshTransport(server.configure(Port=free_port()), profile_in(tmp_path))


def test_a_server_that_says_nothing_gives_up_in_time(server: Server, tmp_path: Path) -> None:
    """Something accepts and keeps silent: ssh's own limit ends it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        destination = server.configure(Port=silent.getsockname()[1], ConnectTimeout=1)
        begin = time.monotonic()
        with pytest.raises(TransientDeviceError, match="cannot be reached"):
            SshTransport(
                Destination("board", None, ("-o", "ConnectTimeout=1", *destination.options)), profile_in(tmp_path)
            )
        assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("command", "message"),
    [("/bin/false", "runs no commands"), ("yes", "floods"), ("echo Welcome", "runs no commands|cannot be reached")],
)
def test_a_login_that_runs_something_else(tmp_path: Path, command: str, message: str) -> None:
    """A device whose logins answer with something else is told from one that works, in time."""
    with (
        sshd(tmp_path, f"ForceCommand {command}") as odd,
        pytest.raises((DeviceError, TransientDeviceError), match=message),
    ):
        SshTransport(odd.destination, profile_in(tmp_path))


def test_a_server_that_allows_one_session(tmp_path: Path) -> None:
    """A shared connection needs more; this is said, not taken for the command's own failure."""
    with sshd(tmp_path, "MaxSessions 1") as narrow:
        device = SshTransport(narrow.destination, profile_in(tmp_path))
        with pytest.raises(DeviceError, match="refuses a second session") as caught:
            device.run(["true"])
        assert "MaxSessions" in (caught.value.remedy or "")
        device.close()


def test_logins_that_print_are_no_trouble(tmp_path: Path) -> None:
    """Banner, message of the day and chatty start-up files come before our own answer."""
    (tmp_path / "banner").write_text("edgewidth-connected is not said here\nPermission denied (nonsense).\n")
    chatty = 'ForceCommand echo "Welcome to the board"; echo hint >&2; eval "$SSH_ORIGINAL_COMMAND"'
    with sshd(tmp_path, f"Banner {tmp_path / 'banner'}", chatty) as server:
        device = SshTransport(server.destination, profile_in(tmp_path))
        assert device.workdir == str(tmp_path / "work dir")
        device.close()


def test_a_jump_host_of_the_config_is_used(server: Server, tmp_path: Path) -> None:
    """The way to the device is the user's config's business."""
    destination = server.configure(ProxyJump="gate")
    with server.config.open("a") as config:
        config.write(server.config.read_text().replace("Host board", "Host gate").replace("ProxyJump gate", ""))
    device = SshTransport(destination, profile_in(tmp_path))
    assert device.run(["echo", "through"]).stdout == b"through\n"
    device.close()


def test_the_folder_cannot_be_made(server: Server, tmp_path: Path) -> None:
    """A lasting trouble, with the device's own reason."""
    with pytest.raises(DeviceError, match=r"working folder on board cannot be made: mkdir: .*/proc/x"):
        SshTransport(server.configure(), profile_in(tmp_path, workdir="/proc/x/y"))


def test_opening_a_profile(server: Server, tmp_path: Path) -> None:
    """Port and identity come from the profile; without an address it says which option sets it."""
    with pytest.raises(ProfileError, match="no address"):
        SshTransport.open(profile_in(tmp_path), SILENT)
    key = str(server.folder / "user_key")
    there = profile_in(tmp_path, address="127.0.0.1", port=server.port, identity=key)
    with pytest.raises(DeviceError, match=r"host key of 127\.0\.0\.1 is unknown") as caught:
        SshTransport.open(there, SILENT)
    assert caught.value.remedy == f"Connect once by hand and compare it: ssh -p {server.port} 127.0.0.1"


def test_a_local_file_that_is_not_there(device: SshTransport, tmp_path: Path) -> None:
    """The message names it; nothing is sent."""
    with pytest.raises(FileError, match=r"gone\.tflite could not be read"):
        device.put({"a": b"a", "b": tmp_path / "gone.tflite"})
    assert not (tmp_path / "work dir" / "a").exists()


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ("ssh: Could not resolve hostname nobody: Name or service not known", DeviceError, "There is no host pi."),
        ("ssh: Could not resolve hostname pi: Temporary failure in name resolution", TransientDeviceError, "reached"),
        ("ssh: connect to host pi port 22: No route to host", TransientDeviceError, "No route to host."),
        ("kex_exchange_identification: read: Connection reset by peer", TransientDeviceError, "reset by peer"),
        ("root@pi: Too many authentication failures", DeviceError, "does not let"),
        (
            "config line 3: Bad configuration option: foo\nconfig: terminating, 1 bad configuration options",
            DeviceError,
            "con",
        ),
        ("\x1b[31mevil\x07\n\n", TransientDeviceError, r"reached: \[31mevil\."),
        ("", TransientDeviceError, "no answer in time"),
    ],
)
def test_what_ssh_says(said: str, kind: type[Exception], message: str) -> None:
    """What may pass is told from what will not; control characters go nowhere."""
    with pytest.raises(kind, match=message):
        raise refusal(Destination("root@pi"), said, 255)


NOISE = {
    "before": "echo hello; echo hint >&2",
    "without a line's end": "printf hello; printf 12 >&2",
    "behind": "trap 'printf bye; printf 34 >&2' EXIT",
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_what_start_up_files_print_is_no_answer(tmp_path: Path, noise: str) -> None:
    """Neither on standard output nor on standard error, and the exit status stays the command's."""
    with sshd(tmp_path, f'ForceCommand {noise}; eval "$SSH_ORIGINAL_COMMAND"') as server:
        device = SshTransport(server.destination, profile_in(tmp_path))
        done = device.run(["sh", "-c", "printf out; cat >&2; exit 7"], stdin=b"in")
        assert (done.returncode, done.stdout, done.stderr) == (7, b"out", b"in")
        device.put({"a/b": b"\0\xff\n"})
        assert device.read("a/b", 0) == device.get("a/b") == b"\0\xff\n"
        assert device.facts().architecture == platform.machine()
        device.close()


@pytest.mark.parametrize("shell", ["tcsh", "bsd-csh", "fish", "zsh", "dash"])
def test_any_login_shell(tmp_path: Path, shell: str) -> None:
    """Shells with other quotes than a POSIX shell's, too; words of every kind arrive as they are."""
    program = shutil.which(shell)
    if program is None:
        require(shell not in {"tcsh", "dash"}, f"{shell} (apt-get install {shell})")
        pytest.skip(f"there is no {shell}")
    words = ["a b", "!!", "a!b", "$HOME", "'", '"', "*", "\\", "\\n", "`id`", "é", "new\nline", "", "~", "x" * 3000]
    with sshd(tmp_path, f'ForceCommand exec {program} -c "$SSH_ORIGINAL_COMMAND"') as server:
        device = SshTransport(server.destination, profile_in(tmp_path))
        assert device.run(["printf", "%s|", *words]).stdout.decode() == "".join(f"{word}|" for word in words)
        device.start(["sh", "-c", "echo 'started!'"], log="log file")
        assert device.facts().python == platform.python_version()
        assert device.run(["false"]).returncode == 1
        device.close()
    assert (tmp_path / "work dir" / "log file").read_text() == "started!\n"


def test_a_login_that_swallows_commands(tmp_path: Path) -> None:
    """One that answers at first and not to what is asked then is told as what it is."""
    (tmp_path / "first").write_text("")
    once = f'ForceCommand rm {tmp_path}/first && eval "$SSH_ORIGINAL_COMMAND" || echo This account is closed. >&2'
    with sshd(tmp_path, once) as server:
        device = SshTransport(server.destination, profile_in(tmp_path))
        with pytest.raises(DeviceError, match=r"runs no commands: This account is closed\.") as caught:
            device.run(["true"])
        assert "start-up files" in (caught.value.remedy or "")
        device.close()


@pytest.mark.parametrize(
    ("address", "port", "host", "leads_to", "typed"),
    [
        ("pi@10.0.0.7", None, "pi@10.0.0.7", None, "pi@10.0.0.7"),
        ("pi@10.0.0.7:2222", None, "pi@10.0.0.7", 2222, "-p 2222 pi@10.0.0.7"),
        ("board", 22, "board", 22, "-p 22 board"),
        ("board:22", 22, "board", 22, "-p 22 board"),
        ("fe80::1%eth0", None, "fe80::1%eth0", None, "fe80::1%eth0"),
        ("pi@2001:db8::7", 2222, "pi@2001:db8::7", 2222, "-p 2222 pi@2001:db8::7"),
        ("[2001:db8::7]", None, "2001:db8::7", None, "2001:db8::7"),
        ("pi@[2001:db8::7]:2222", None, "pi@2001:db8::7", 2222, "-p 2222 pi@2001:db8::7"),
        ("DOMAIN\\user@host:22", None, "DOMAIN\\user@host", 22, "-p 22 'DOMAIN\\user@host'"),
        ("user@example.com@host", None, "user@example.com@host", None, "user@example.com@host"),
    ],
)
def test_where_an_address_leads(
    tmp_path: Path, address: str, port: int | None, host: str, leads_to: int | None, typed: str
) -> None:
    """With a port, as IPv6, with a domain; and as it is typed."""
    found = Destination.of(profile_in(tmp_path, address=address, port=port))
    assert (found.host, found.port, found.typed) == (host, leads_to, typed)


@pytest.mark.parametrize(
    ("address", "port"), [("pi@host:0", None), ("host:65536", None), ("host:ssh", None), ("host:22", 23), ("host:", 22)]
)
def test_an_address_that_leads_nowhere(tmp_path: Path, address: str, port: int | None) -> None:
    with pytest.raises(ProfileError, match=f"no place is meant by the address {address}") as caught:
        Destination.of(profile_in(tmp_path, address=address, port=port))
    assert "`address=user@host:2222`" in (caught.value.remedy or "")


def test_an_address_with_a_port_is_reached(server: Server, tmp_path: Path) -> None:
    """As a profile gives it; what is to be typed has the port as ssh takes it."""
    there = profile_in(tmp_path, address=f"127.0.0.1:{server.port}", identity=str(server.folder / "user_key"))
    with pytest.raises(DeviceError, match=r"host key of 127\.0\.0\.1 is unknown") as caught:
        SshTransport.open(there, SILENT)
    assert caught.value.remedy == f"Connect once by hand and compare it: ssh -p {server.port} 127.0.0.1"


def test_a_device_without_python_says_so(server: Server, tmp_path: Path) -> None:
    """What is missing is python3, not a package."""
    profile = profile_in(tmp_path, python="no-such-python")
    transport = SshTransport(server.configure(), profile)
    device = Device(profile, transport, transport.facts())
    with pytest.raises(DeviceError, match=r"^pi has no program no-such-python") as caught:
        device.setting(Engine(runtime=Runtime.LITERT), Precision.INT8, 1)
    assert "`python=/path/to/python3`" in (caught.value.remedy or "")
    transport.close()
