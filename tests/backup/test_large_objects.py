"""Objects above 2 and 4 GiB, plain and encrypted: a made-up one whose touched frames alone exist, and real ones."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.format.values import an_id
from tests.support.s3_servers import S3Endpoint
from tiervdb.backup import ciphers, fetching
from tiervdb.backup.vault import Vault
from tiervdb.clock import ManualClock
from tiervdb.format import frames
from tiervdb.format.frames import FRAME_BYTES, HEADER_BYTES, FrameReader, FrameWriter
from tiervdb.format.repository_documents import Codec, StoredObject
from tiervdb.format.repository_paths import DataKey
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.open import open_store
from tiervdb.storage.wrapped_store import WrappedStore

SECRETS = {"plain": None, "sealed": b"s" * 32}
CODECS: list[Codec] = ["none", "zstd"]
KEY = DataKey(an_id(1), an_id(2)).key
GB2, GB4 = 2**31, 2**32
SIZE = 5 * 2**30 + 12_345
BORDERS = [ByteRange(at - 5, 10) for at in (GB2, GB4, FRAME_BYTES, SIZE // FRAME_BYTES * FRAME_BYTES, SIZE - 5)]
ACROSS = ByteRange(GB4 - FRAME_BYTES - 7, 2 * FRAME_BYTES + 14)
LARGE = GB4 + 3 * FRAME_BYTES + 5  # of the real ones
IN_MEMORY = 300 << 20


def plain(number: int, length: int) -> bytes:
    """The bytes of a frame: no two alike."""
    return (b"frame %010d " % number * (length // 17 + 1))[:length]


def expected(wanted: ByteRange) -> bytes:
    numbers = range(wanted.start // FRAME_BYTES, -(-wanted.end // FRAME_BYTES))
    start = wanted.start - numbers[0] * FRAME_BYTES
    return b"".join(plain(number, FRAME_BYTES) for number in numbers)[start : start + wanted.length]


class MadeUp(WrappedStore):
    """One framed object of SIZE bytes, of which only the frames in ``real`` can be read."""

    def __init__(self, inner: ObjectStore, vault: Vault, codec: Codec, real: Sequence[int]) -> None:
        super().__init__(inner)
        closing = vault._closing(KEY)
        header = FrameWriter(SIZE, codec, closing).header
        count = -(-SIZE // FRAME_BYTES)
        made: dict[int, bytes] = {}
        for number in real:
            data = plain(number, min(FRAME_BYTES, SIZE - number * FRAME_BYTES))
            payload = frames.compress(data) if codec == "zstd" else data
            made[number] = closing.close(frames._binding(header, number, number == count - 1), number, payload)
        lengths = [FRAME_BYTES + closing.overhead] * (count - 1) + [SIZE % FRAME_BYTES + closing.overhead]
        if codec == "zstd":
            lengths = [len(made.get(number, bytes(700_000 + number % 1000))) for number in range(count)]
        table = np.array(lengths, "<u4").tobytes()
        trailer = table + crc32c.crc32c(table).to_bytes(4, "little") if codec == "zstd" else b""
        starts = HEADER_BYTES + np.concatenate(([0], np.cumsum(lengths)))
        pieces = [(0, header), *((int(starts[n]), made[n]) for n in sorted(made)), (int(starts[-1]), trailer)]
        self._pieces = pieces
        self.stored = StoredObject(
            key=KEY, size=SIZE, stored_size=int(starts[-1]) + len(trailer), layout="framed", codec=codec
        )

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        assert key == KEY
        return [self._at(wanted) for wanted in ranges]

    def _at(self, wanted: ByteRange) -> bytes:
        found = bytearray()
        for start, data in self._pieces:
            if start < wanted.end and start + len(data) > wanted.start:
                assert start <= wanted.start + len(found), "a frame was asked for that nobody touched"
                found += data[max(0, wanted.start - start) : wanted.end - start]
        assert len(found) == wanted.length
        return bytes(found)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_ranges_beyond_2_and_4_gib(secret: bytes | None, codec: Codec, tmp_path: Path) -> None:
    vault = Vault(open_store(tmp_path), secret, ManualClock(), random.Random(1))
    wanted = [*BORDERS, ACROSS]
    touched = sorted({n for r in wanted for n in range(r.start // FRAME_BYTES, -(-r.end // FRAME_BYTES))})
    vault.store = made = MadeUp(vault.store, vault, codec, touched)
    assert vault.get_ranges(made.stored, wanted) == [expected(r) for r in wanted]
    assert vault.get_ranges(made.stored, [BORDERS[1]]) == [expected(BORDERS[1])]  # its table is known by now


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**40), st.data(), st.sampled_from(sorted(SECRETS)))
def test_frames_lie_where_the_format_says(size: int, data: st.DataObject, kind: str) -> None:
    overhead = 4 if kind == "plain" else 16
    count = -(-size // FRAME_BYTES)
    closing = frames.Checksum() if kind == "plain" else ciphers.FrameCipher(b"s" * 32, KEY)
    reader = FrameReader(size, HEADER_BYTES + size + count * overhead, "none", closing, "it")
    number = data.draw(st.integers(0, count - 1))
    (frame,) = reader.frames(b"", [number])
    assert (frame.start, frame.plain_start) == (28 + number * (2**20 + overhead), number * 2**20)
    assert frame.plain_length == min(2**20, size - number * 2**20) == frame.length - overhead
    assert reader.table_span == (28 + size + count * overhead, 0)


@pytest.mark.parametrize("size", [100, 101, 119, 120, 121, 400])
def test_what_is_too_large_for_one_call_of_the_cipher(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers, "_ONE_CALL", 100)
    monkeypatch.setattr(ciphers, "_PIECE", 40)
    data = random.Random(size).randbytes(size)
    sealed = ciphers.seal(b"s" * 32, "it", data)
    assert ciphers.unseal(b"s" * 32, "it", sealed) == data
    assert sealed != ciphers.seal(b"s" * 32, "it", data)
    step = 40 + ciphers.TAG_BYTES
    head, pieces = sealed[:12], [sealed[at : at + step] for at in range(12, len(sealed), step)]
    others = [
        *(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))),
        *(sealed[:at] for at in range(len(sealed))),
        b"".join((head, *pieces[:-1])),
        b"".join((head, *pieces[1:])),
        b"".join((head, pieces[1], pieces[0], *pieces[2:])),
        b"".join((head, *pieces, pieces[-1])),
    ]
    for other in others:
        with pytest.raises(ValueError, match="not what was sealed"):
            ciphers.unseal(b"s" * 32, "it", other)
    with pytest.raises(ValueError, match="not what was sealed"):
        ciphers.unseal(b"s" * 32, "another", sealed)


# -- real ones


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "folder":
        yield open_store(tmp_path / "store")
        return
    endpoint: S3Endpoint = request.getfixturevalue("seaweedfs")
    opened = open_store(endpoint.place())
    yield opened
    for found in list(opened.list("")):
        opened.delete(found.key)
    opened.close()


@contextmanager
def bounded_memory() -> Iterator[None]:
    """All of Python's memory stays far below the size of the objects."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < IN_MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_an_object_above_4_gib(store: ObjectStore, secret: bytes | None, tmp_path: Path) -> None:
    vault = Vault(store, secret, ManualClock(), random.Random(1))
    source, target = tmp_path / "source", tmp_path / "target"
    borders = [ByteRange(at - 50_000, 100_000) for at in (GB2, GB4, LARGE - 50_000)]
    with source.open("wb") as file:  # holes, but for what is read by ranges
        file.truncate(LARGE)
        for wanted in borders:
            file.seek(wanted.start)
            file.write(random.Random(wanted.start).randbytes(wanted.length))
    with bounded_memory():
        stored = vault.put_file(an_id(9), source, LARGE, compress=False)
        vault.check(stored)
        got = vault.get_ranges(stored, borders)
        assert got == [random.Random(wanted.start).randbytes(wanted.length) for wanted in borders]
        vault.get_file(stored, target)
        assert target.stat().st_size == LARGE
        assert fetching.hash_file(target) == fetching.hash_file(source)
        target.unlink()
        store.copy(stored.key, "copied")
        assert store.stat("copied").size == stored.stored_size
        around = [ByteRange(GB4 - 1000, 2000)]
        assert store.get_ranges("copied", around) == store.get_ranges(stored.key, around)
