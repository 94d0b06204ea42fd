"""Random streams have nothing in common, and nothing but their three numbers decides them."""

from __future__ import annotations

from itertools import product

from edgewidth.streams import Purpose, stream


def test_streams_differ_in_seed_purpose_and_position() -> None:
    """At position 0 too: numpy takes a list and the same with zeros behind it for one seed."""
    all_of_them = list(product(range(3), Purpose, range(3)))
    drawn = {int(stream(*numbers).integers(2**62)) for numbers in all_of_them}
    assert len(drawn) == len(all_of_them)


def test_a_stream_repeats() -> None:
    """Without a position it is the first."""
    assert stream(1, Purpose.ORDER).random() == stream(1, Purpose.ORDER, 0).random()
