from __future__ import annotations

import hashlib
from unittest import mock

import crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.format.damage import assert_notices
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format import block_file
from tiervdb.format.block_file import BLOCK_BYTES, BlockReader, BlockWriter


def write(*parts: bytes) -> bytes:
    out: list[bytes] = []
    writer = BlockWriter(lambda data: out.append(bytes(data)))
    for part in parts:
        writer.write(part)
    writer.finish()
    writer.finish()
    data = b"".join(out)
    assert (writer.size, writer.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert writer.length == sum(map(len, parts))
    return data


def reader(data: bytes | bytearray) -> BlockReader:
    return BlockReader(memoryview(data), "the file")


@settings(deadline=None)
@given(st.lists(st.integers(0, 2 * BLOCK_BYTES + 3), max_size=4), st.data())
def test_any_pieces_read_back(lengths: list[int], data: st.DataObject) -> None:
    parts = [bytes([i + 1]) * n for i, n in enumerate(lengths)]
    whole = b"".join(parts)
    file = reader(write(*parts))
    assert file.length == len(whole)
    start = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - start))
    assert bytes(file.view(start, length)) == whole[start : start + length]
    file.verify()
    assert file.verified
    assert bytes(file.data) == whole


def test_pieces_do_not_change_the_file() -> None:
    whole = bytes(range(256)) * 700
    assert write(whole) == write(*(whole[i : i + 999] for i in range(0, len(whole), 999)))


def test_wide_items_are_written_as_bytes() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    out: list[bytes] = []
    writer = BlockWriter(lambda data: out.append(bytes(data)))
    writer.write(memoryview(rows))
    assert out == [rows.tobytes()]
    assert writer.length == 24


def test_nothing_is_written_after_finish() -> None:
    writer = BlockWriter(lambda data: None)
    writer.finish()
    with pytest.raises(ValueError, match="finished"):
        writer.write(b"x")


@pytest.mark.parametrize("data", [b"", b"some bytes", b"\0" * 40])
def test_every_damage_is_noticed(data: bytes) -> None:
    def read(form: bytes) -> bytes:
        file = reader(form)
        return bytes(file.view(0, file.length))

    assert_notices(write(data), read, lambda found: found == data)


def test_only_touched_blocks_are_checked() -> None:
    data = bytearray(write(bytes(4 * BLOCK_BYTES)))
    data[2 * BLOCK_BYTES + 5] = 1
    file = reader(bytes(data))
    file.view(0, 2 * BLOCK_BYTES)
    file.view(3 * BLOCK_BYTES, 10)
    for _ in range(2):
        with pytest.raises(CorruptionError, match=f"the file.*{2 * BLOCK_BYTES} to {3 * BLOCK_BYTES}"):
            file.view(2 * BLOCK_BYTES - 1, 2)
    assert not file.verified
    with pytest.raises(CorruptionError):
        file.verify()


def test_many_ranges_are_checked_at_once() -> None:
    data = bytearray(write(bytes(6 * BLOCK_BYTES)))
    data[3 * BLOCK_BYTES] = 1
    file = reader(bytes(data))
    file.check_ranges(np.array([0, 2 * BLOCK_BYTES - 4, 5 * BLOCK_BYTES]), 8)
    for start, length in ((3 * BLOCK_BYTES - 1, 2), (3 * BLOCK_BYTES, 1), (BLOCK_BYTES, 3 * BLOCK_BYTES)):
        with pytest.raises(CorruptionError, match="checksum"):
            file.check_ranges(np.array([start]), length)
    for start in (-1, 6 * BLOCK_BYTES - 3):
        with pytest.raises(CorruptionError, match="outside"):
            file.check_ranges(np.array([start]), 4)
    file.check_ranges(np.zeros(0, np.int64), 4)


def test_a_block_is_checked_once() -> None:
    file = reader(write(bytes(2 * BLOCK_BYTES)))
    assert not file.verified
    file.view(0, 2 * BLOCK_BYTES)
    assert file.verified
    with mock.patch.object(block_file, "crc32c", None):
        file.view(5, 70_000)
        file.check_ranges(np.array([1]), 5)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 11), (11, 0), (5, -1), (2**70, 1)])
def test_ranges_outside_are_refused(offset: int, length: int) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        reader(write(b"0123456789")).view(offset, length)


def test_verify_looks_again() -> None:
    data = bytearray(write(bytes(100)))
    file = reader(data)
    file.verify()
    data[5] = 1
    with pytest.raises(CorruptionError):
        file.verify()
    with pytest.raises(CorruptionError):
        file.view(0, 1)


def test_a_newer_file_is_told_from_a_damaged_one() -> None:
    data = write(b"whatever")
    footer = bytearray(data[-block_file.FOOTER_BYTES : -4])
    assert footer[6:8] == b"\1\0", "its version"
    footer[6] = 2
    before = data[: -block_file.FOOTER_BYTES]
    with pytest.raises(NewerFormatError, match="the file: it has format version 2"):
        reader(before + footer + crc32c.crc32c(bytes(footer)).to_bytes(4, "little"))
    with pytest.raises(CorruptionError, match="the file"):
        reader(before + footer + data[-4:])
