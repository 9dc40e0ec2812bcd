"""Framed objects: any size and range, every damage."""

from __future__ import annotations

import random

import crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiervdb.backup.ciphers import FrameCipher
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format import frames
from tiervdb.format.frames import FRAME_BYTES, Checksum, Closing, FrameReader, FrameWriter
from tiervdb.format.repository_documents import Codec

CLOSINGS: dict[str, Closing] = {"checksum": Checksum(), "sealed": FrameCipher(b"s" * 32, "data/a/b")}
CODECS: list[Codec] = ["none", "zstd"]
SIZES = [0, 1, 100, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES, 3 * FRAME_BYTES + 7]


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size // 2) + bytes(size - size // 2)


def reader(data: bytes, size: int, codec: Codec, closing: Closing) -> FrameReader:
    return FrameReader(size, len(data), codec, closing, "the file")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("closing", CLOSINGS.values(), ids=CLOSINGS)
@pytest.mark.parametrize("size", SIZES)
def test_sizes_around_the_borders(size: int, codec: Codec, closing: Closing) -> None:
    data = content(size)
    framed = frames.encode(data, codec, closing)
    found = reader(framed, size, codec, closing)
    assert b"".join(found.decode_all(framed)) == data
    start, length = found.table_span
    every = found.frames(framed[start : start + length])
    for frame in reversed(every):  # each by itself, in any order
        plain = found.decode(frame, framed[frame.start : frame.start + frame.length])
        assert plain == data[frame.plain_start : frame.plain_start + frame.plain_length]
    assert sum(frame.plain_length for frame in every) == size


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(CODECS), st.sampled_from(sorted(CLOSINGS)))
def test_any_bytes(data: bytes, codec: Codec, closing: str) -> None:
    framed = frames.encode(data, codec, CLOSINGS[closing])
    assert b"".join(reader(framed, len(data), codec, CLOSINGS[closing]).decode_all(framed)) == data


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("closing", CLOSINGS.values(), ids=CLOSINGS)
def test_every_flipped_byte_and_truncation_is_noticed(codec: Codec, closing: Closing) -> None:
    data = content(60)
    framed = frames.encode(data, codec, closing)
    forms = [framed[:at] + bytes([framed[at] ^ (1 << at % 8)]) + framed[at + 1 :] for at in range(len(framed))]
    forms += [framed[:at] for at in range(len(framed))] + [framed + b"x"]
    for form in forms:
        with pytest.raises(CorruptionError, match="the file"):
            list(FrameReader(len(data), len(framed), codec, closing, "the file").decode_all(form))


@pytest.mark.parametrize("closing", CLOSINGS.values(), ids=CLOSINGS)
def test_frames_cannot_be_swapped_repeated_or_dropped(closing: Closing) -> None:
    data = content(3 * FRAME_BYTES)
    framed = frames.encode(data, "none", closing)
    found = reader(framed, len(data), "none", closing)
    first, second, third = (framed[f.start : f.start + f.length] for f in found.frames())
    head = framed[: frames.HEADER_BYTES]
    for order in ((second, first, third), (first, first, third), (first, third, second)):
        with pytest.raises(CorruptionError, match="the file"):
            list(found.decode_all(b"".join((head, *order))))
    shorter = b"".join((head, first, second))
    with pytest.raises(CorruptionError, match="the file"):
        list(FrameReader(2 * FRAME_BYTES, len(shorter), "none", closing, "the file").decode_all(shorter))


def test_what_was_sealed_for_another_place_does_not_open() -> None:
    framed = frames.encode(content(100), "none", CLOSINGS["sealed"])
    for other in (FrameCipher(b"s" * 32, "data/a/c"), FrameCipher(b"t" * 32, "data/a/b")):
        with pytest.raises(CorruptionError, match="not what was sealed"):
            list(reader(framed, 100, "none", other).decode_all(framed))


def test_a_writer_insists_on_its_size() -> None:
    writer = FrameWriter(10, "none", Checksum())
    with pytest.raises(ValueError, match="10 are due"):
        writer.add(b"123")
    with pytest.raises(ValueError, match="only 0 of 10"):
        writer.trailer()
    writer.add(bytes(10))
    with pytest.raises(ValueError, match="0 are due"):
        writer.add(b"1")


def test_a_newer_version_says_so() -> None:
    framed = bytearray(frames.encode(b"x", "none", Checksum()))
    framed[6] = 9
    size = frames.HEADER_BYTES - 4
    framed[size : size + 4] = crc32c.crc32c(bytes(framed[:size])).to_bytes(4, "little")
    with pytest.raises(NewerFormatError, match="version 9"):
        list(reader(bytes(framed), 1, "none", Checksum()).decode_all(bytes(framed)))


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(ValueError, match="decompress"):
        frames.decompress(frames.compress(bytes(10_000_000)), 100)
