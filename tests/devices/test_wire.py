"""What a device prints is not trusted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewidth.devices.measure import wire
from edgewidth.errors import DeviceError

STATE = {"temperature_c": 50.5}
VISIT = {
    "t": "visit",
    "at_s": 1.0,
    "id": "0@8",
    "started_s": 0.5,
    "cooled_s": 0.0,
    "warmup_ns": [3, 2],
    "runs_ns": [1, 1],
    "before": STATE,
    "after": STATE,
    "own_s": 0.1,
}


def line(**changes: object) -> bytes:
    return json.dumps(VISIT | changes).encode() + b"\n"


def test_reads_whole_lines_only() -> None:
    """Half a line waits: the offset stays before it until the rest is there."""
    reader = wire.Reader()
    whole = line()
    assert reader.messages(whole[:-5]) == []
    assert reader.offset == 0
    [visit] = reader.messages(whole + whole[:7])
    assert isinstance(visit, wire.Visit)
    assert visit.runs_ns == (1, 1)
    assert reader.offset == len(whole)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"Welcome to Raspberry Pi OS!\n", "Welcome"),
        (b"\xff\xfe\x00\n", "no runner writes"),
        (b"[1, 2]\n", "no runner writes"),
        (b'{"t": "visit"\n', "no runner writes"),
        (b'{"t": "surprise"}\n', "no runner writes"),
        (b"[" * 100_000 + b"\n", "no runner writes"),
        (line(runs_ns=[]), "runs_ns"),
        (line(runs_ns=[-1]), "runs_ns"),
        (line(runs_ns=[10**18]), "runs_ns"),
        (line(runs_ns=["1"]), "runs_ns"),
        (line(runs_ns=[1.5]), "runs_ns"),
        (line(more=1), "more"),
        (line(id="eight"), "id"),
        (line(id="@8"), "id"),
        (line(id=f"{10**20}@8"), "id"),
        (b'{"t": "hello", "version": 2}\n', "version 2"),
        (b"x" * wire.MAX_LINE_BYTES, "without an end of line"),
    ],
)
def test_nonsense_is_one_error(text: bytes, says: str) -> None:
    """Each kind of nonsense is a DeviceError that says what it is."""
    with pytest.raises(DeviceError, match=says):
        wire.Reader().messages(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error_or_nothing(content: bytes) -> None:
    """Whatever comes, nothing else is raised."""
    try:
        messages = wire.Reader().messages(content)
    except DeviceError:
        return
    assert messages == []
