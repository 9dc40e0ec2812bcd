"""Documents and objects in and out of a repository, plain and sealed, in a folder and in buckets."""

from __future__ import annotations

import io
import os
import random
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.format.damage import damaged_forms
from tests.format.repository_values import REPOSITORY_DOCUMENTS
from tests.format.values import an_id
from tests.support.s3_servers import S3Endpoint
from tiervdb.backup import keys, vault
from tiervdb.backup.framed import encoded
from tiervdb.backup.keys import Key
from tiervdb.backup.vault import Vault
from tiervdb.clock import ManualClock
from tiervdb.errors import (
    CorruptionError,
    InvalidInputError,
    NewerFormatError,
    ObjectExistsError,
    ObjectNotFoundError,
    WrongKeyError,
)
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.frames import FRAME_BYTES, Checksum, FrameWriter
from tiervdb.format.repository_documents import StoredObject
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.open import open_store

SECRETS = {"plain": None, "sealed": b"s" * 32}
LEASE = REPOSITORY_DOCUMENTS["lease"]
KEY = paths.LeaseKey(an_id(1)).key


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "folder":
        yield open_store(tmp_path / "store")
        return
    endpoint: S3Endpoint = request.getfixturevalue("seaweedfs")
    opened = open_store(endpoint.place())
    yield opened
    opened.close()


@pytest.fixture(params=SECRETS.values(), ids=SECRETS)
def kept(request: pytest.FixtureRequest, store: ObjectStore) -> Vault:
    return Vault(store, request.param, ManualClock(), random.Random(1))


def test_documents(kept: Vault) -> None:
    assert kept.find(KEY, documents.decode_lease) is None
    kept.create(KEY, LEASE)
    with pytest.raises(ObjectExistsError):
        kept.create(KEY, LEASE)
    kept.replace(KEY, LEASE)
    assert kept.read(KEY, documents.decode_lease) == LEASE
    assert kept.read_all(paths.LEASES, documents.decode_lease) == [LEASE]
    assert (b"backups" in kept.store.get(KEY)) == (not kept.encrypted)
    other = paths.LeaseKey(an_id(2)).key
    kept.store.put(other, kept.store.get(KEY))
    if kept.encrypted:
        with pytest.raises(CorruptionError, match="somebody else"):
            kept.read(other, documents.decode_lease)


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
@pytest.mark.parametrize("shrinks", [True, False])
def test_objects(kept: Vault, size: int, shrinks: bool, tmp_path: Path) -> None:
    data = bytes(size) if shrinks else random.Random(2).randbytes(size)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    for stored in (
        kept.put_bytes(an_id(9), data),
        kept.put_file(an_id(9), source, size, compress=True),
        kept.put_file(an_id(9), source, size, compress=False),
    ):
        assert kept.get_bytes(stored) == data
        kept.get_file(stored, target)
        assert target.read_bytes() == data
        ranges = [ByteRange(0, min(size, 10)), ByteRange(size // 2, size - size // 2), ByteRange(size, 0)]
        assert kept.get_ranges(stored, ranges) == [data[r.start : r.end] for r in ranges]
        kept.check(stored)
        assert kept.store.stat(stored.key).size == stored.stored_size
        assert (stored.layout == "plain") == (kept.store.get(stored.key) == data)


def test_large_objects_go_through_a_file(kept: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "_IN_MEMORY", 1000)
    (tmp_path / "source").write_bytes(bytes(2_500_000))
    stored = kept.put_file(an_id(9), tmp_path / "source", 2_500_000, compress=True)
    assert stored.codec == "zstd"
    assert kept.get_bytes(stored) == bytes(2_500_000)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("size", [99, 101])
def test_a_file_of_another_size_is_refused(kept: Vault, size: int, compress: bool, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(100))
    with pytest.raises(CorruptionError, match=f"source has 100 bytes instead of {size}"):
        kept.put_file(an_id(9), tmp_path / "source", size, compress=compress)
    with pytest.raises(CorruptionError, match="source changed while it was read"):
        list(encoded(FrameWriter(size, "none", Checksum()), io.BytesIO(bytes(100)), tmp_path / "source"))
    assert list(kept.store.list("")) == []


BORDERS = [n * FRAME_BYTES + d for n in (0, 1, 2) for d in (-1, 0, 1) if n or d >= 0]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_ranges_around_the_borders_of_frames(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from(BORDERS) | st.integers(0, BORDERS[-1]))
    points = st.sampled_from(BORDERS) | st.integers(0, size)
    pairs = data.draw(st.lists(st.tuples(points, points), max_size=5))
    inside = [(min(a, size), min(b, size)) for a, b in pairs]
    ranges = [ByteRange(min(a, b), abs(b - a)) for a, b in inside]
    content = random.Random(size).randbytes(size // 4) + bytes(size - size // 4)
    for secret in SECRETS.values():
        kept = Vault(open_store(f"memory://{uuid.uuid4().hex}"), secret, ManualClock(), random.Random(1))
        for compress in (True, False):
            stored = kept.put_bytes(an_id(9), content, compress=compress)
            for _ in range(2):  # the table of frames is read once
                assert kept.get_ranges(stored, ranges) == [content[r.start : r.end] for r in ranges]
            kept.store.delete(stored.key)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("wanted", [ByteRange(90, 20), ByteRange(200, 1), ByteRange(0, 3 * FRAME_BYTES)])
def test_ranges_beyond_the_end_are_refused(kept: Vault, wanted: ByteRange, compress: bool) -> None:
    stored = kept.put_bytes(an_id(9), bytes(100), compress=compress)
    with pytest.raises(CorruptionError, match=stored.key):
        kept.get_ranges(stored, [ByteRange(0, 10), wanted])


def test_ranges_cost_few_requests(tmp_path: Path) -> None:
    store = CountingStore(open_store(tmp_path / "store"))
    kept = Vault(store, None, ManualClock(), random.Random(1))
    stored = kept.put_bytes(an_id(9), bytes(5 * FRAME_BYTES))
    wanted = [ByteRange(n * FRAME_BYTES, 10) for n in range(4)]
    before = store.snapshot()
    kept.get_ranges(stored, wanted)
    assert (store.snapshot() - before).gets == 2  # the table, and all frames in one
    before = store.snapshot()
    kept.get_ranges(stored, [ByteRange(10, 20)])
    assert (store.snapshot() - before).gets == 1


def test_every_flipped_byte_and_truncation_of_an_object_is_noticed(tmp_path: Path) -> None:
    """By what the vault reads; of plain objects by the checksums that documents keep."""
    content = random.Random(4).randbytes(30) + bytes(60)
    for secret, compress in ((None, True), (SECRETS["sealed"], True), (SECRETS["sealed"], False)):
        kept = Vault(open_store(f"memory://{uuid.uuid4().hex}"), secret, ManualClock(), random.Random(1))
        stored = kept.put_bytes(an_id(9), content, compress=compress)
        whole = kept.store.get(stored.key)
        for what, form in damaged_forms(whole):
            kept.store.put(stored.key, form)
            for read in (by_bytes, by_file, by_range):
                try:
                    found = read(Vault(kept.store, secret, kept.clock, kept.rng), stored, tmp_path / "x")
                except (CorruptionError, NewerFormatError) as error:
                    assert stored.key in str(error), what  # noqa: PT017
                else:
                    assert found == content, what


def by_bytes(kept: Vault, stored: StoredObject, path: Path) -> bytes:
    return kept.get_bytes(stored)


def by_file(kept: Vault, stored: StoredObject, path: Path) -> bytes:
    kept.get_file(stored, path)
    return path.read_bytes()


def by_range(kept: Vault, stored: StoredObject, path: Path) -> bytes:
    return b"".join(kept.get_ranges(stored, [ByteRange(0, 10), ByteRange(10, stored.size - 10)]))


def test_missing_and_changed_objects_are_named(kept: Vault, tmp_path: Path) -> None:
    stored = kept.put_bytes(an_id(9), b"content" * 100)
    data = kept.store.get(stored.key)
    kept.store.put(stored.key, data[:-1])
    for read in (kept.check, kept.get_bytes, lambda s: kept.get_file(s, tmp_path / "x")):
        with pytest.raises(CorruptionError, match=stored.key):
            read(stored)
    kept.store.delete(stored.key)
    with pytest.raises(CorruptionError, match=f"{stored.key}.*is missing"):
        kept.check(stored)
    with pytest.raises(ObjectNotFoundError):
        kept.get_bytes(stored)


def test_a_sealed_object_under_another_key_is_found_out(kept: Vault) -> None:
    one, other = kept.put_bytes(an_id(9), b"a" * 100), kept.put_bytes(an_id(9), b"b" * 100)
    kept.store.put(other.key, kept.store.get(one.key))
    if kept.encrypted:
        with pytest.raises(CorruptionError, match=other.key):
            kept.get_bytes(other)


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"correct horse battery staple"
    (tmp_path / "key").write_bytes(text + b"\n")
    monkeypatch.setenv("REPOSITORY_KEY", text.decode())
    script = tmp_path / "print-key"
    script.write_text(f"#!/bin/sh\necho '{text.decode()}'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    given = [
        Key.file(tmp_path / "key"),
        Key.env("REPOSITORY_KEY"),
        Key.command([str(script)]),
        Key.command(f"{script}"),
    ]
    assert {key.read() for key in given} == {text}
    assert all(text.decode() not in f"{key} {key!r}" for key in given)
    secret = os.urandom(32)
    slot = keys.new_slot(given[0], secret, an_id(1), ManualClock(), random.Random(3), None, cost=2**4)
    assert all(keys.open_slots(key, [slot], an_id(1)) == secret for key in given)
    assert secret.hex() not in slot.wrapped
    (tmp_path / "other").write_bytes(b"another horse, another staple")
    with pytest.raises(WrongKeyError, match="opens none of the repository's 1 keys"):
        keys.open_slots(Key.file(tmp_path / "other"), [slot], an_id(1))
    with pytest.raises(WrongKeyError):
        keys.open_slots(given[0], [slot], an_id(2))  # moved to another repository


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (Key.file("/nowhere/key"), "key file /nowhere/key could not be read"),
        (Key.env("NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
        (Key.command(["false"]), "key command false could not be read"),
        (Key.command(["echo", "short"]), "at least 16"),
    ],
)
def test_keys_that_cannot_be_had(key: Key, text: str) -> None:
    with pytest.raises(WrongKeyError, match=text):
        key.read()
    with pytest.raises(InvalidInputError):
        Key.command("")
