"""Damages small files in every way and asserts that a reader notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from tiervdb.errors import CorruptionError, NewerFormatError

T = TypeVar("T")


def damaged_forms(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every byte flipped in one bit, inverted and zeroed; every truncation; bytes added at the end."""
    for at in range(len(data)):
        for how, byte in ((f"bit {at % 8}", data[at] ^ (1 << at % 8)), ("inverted", data[at] ^ 0xFF), ("zeroed", 0)):
            yield f"byte {at} {how}", data[:at] + bytes([byte]) + data[at + 1 :]
        yield f"cut to {at}", data[:at]
    yield "one byte more", data + b"\0"
    yield "twice", data + data


def assert_notices(data: bytes, read: Callable[[bytes], T], same: Callable[[T], bool]) -> None:
    """``read`` gives the right value, and for each damaged form either the same or one of the two errors."""
    assert same(read(data))
    noticed = 0
    for what, form in damaged_forms(data):
        try:
            value = read(form)
        except (CorruptionError, NewerFormatError) as error:
            message = str(error)
        else:
            assert same(value), what
            continue
        assert "the file" in message, what
        noticed += 1
    assert noticed > len(data)
