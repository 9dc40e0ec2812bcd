"""What every object store must do: one suite for all of them. A subclass gives the fixture ``store``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tiervdb.errors import (
    CorruptionError,
    InvalidInputError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from tiervdb.storage.object_store import ByteRange, ObjectStore

PART_BYTES = 8 << 20  # above it files go to S3 in parts
NAMES = ["a", "a b", "k/é/ü", "deep/er/and/deeper", "UPPER.lower-1_2~3", "plus+and%20percent", "x=1&y"]


class ConformanceSuite:
    def test_bytes_come_back(self, store: ObjectStore) -> None:
        for size in (0, 1, 70_000):
            data = bytes(i % 251 for i in range(size))
            store.put("some/key", data)
            assert store.get("some/key") == data

    @pytest.mark.parametrize("key", NAMES)
    def test_keys_of_any_letters(self, store: ObjectStore, key: str) -> None:
        store.put(key, key.encode())
        assert store.get(key) == key.encode()
        assert [s.key for s in store.list("")] == [key]

    @pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a/./b", "a\\b", "a\nb", "a\0"])
    def test_keys_that_lead_out_are_refused(self, store: ObjectStore, key: str, tmp_path: Path) -> None:
        calls: list[Callable[[], object]] = [
            lambda: store.get(key),
            lambda: store.get_ranges(key, [ByteRange(0, 1)]),
            lambda: store.get_file(key, tmp_path / "f"),
            lambda: store.put(key, b""),
            lambda: store.put_if_absent(key, b""),
            lambda: store.put_if_match(key, b"", "0"),
            lambda: store.stat(key),
            lambda: store.delete(key),
            lambda: store.copy(key, "x"),
        ]
        for call in calls:
            with pytest.raises(InvalidInputError):
                call()

    def test_replacing(self, store: ObjectStore) -> None:
        store.put("k", b"one")
        store.put("k", b"three")
        assert store.get("k") == b"three"
        assert store.stat("k").size == 5
        assert store.get_ranges("k", [ByteRange(1, 4)]) == [b"hree"]

    def test_missing(self, store: ObjectStore, tmp_path: Path) -> None:
        store.put("there/is/one", b"")
        calls: list[Callable[[], object]] = [
            lambda: store.get("there/is/none"),
            lambda: store.get_ranges("there/is/none", [ByteRange(0, 1)]),
            lambda: store.get_file("there/is/none", tmp_path / "f"),
            lambda: store.stat("there/is/none"),
            lambda: store.stat("there/is"),
            lambda: store.get("there/is"),
            lambda: store.copy("there/is/none", "x"),
        ]
        for call in calls:
            with pytest.raises(ObjectNotFoundError, match="there/is"):
                call()
        store.delete("there/is/none")
        store.delete("there/is")
        assert store.get("there/is/one") == b""

    def test_ranges(self, store: ObjectStore) -> None:
        data = bytes(i % 251 for i in range(300_000))
        store.put("k", data)
        ranges = [ByteRange(i * 2_900, i * 29) for i in range(100)] + [ByteRange(299_999, 1), ByteRange(0, 300_000)]
        assert store.get_ranges("k", ranges) == [data[r.start : r.end] for r in ranges]
        assert store.get_ranges("k", [ByteRange(5, 0)]) == [b""]
        assert store.get_ranges("k", []) == []

    @pytest.mark.parametrize("wanted", [ByteRange(3, 3), ByteRange(5, 1), ByteRange(100, 2)])
    def test_a_short_answer_is_damage(self, store: ObjectStore, wanted: ByteRange) -> None:
        store.put("k", b"12345")
        with pytest.raises(CorruptionError, match="k in"):
            store.get_ranges("k", [ByteRange(0, 5), wanted])

    @pytest.mark.parametrize("size", [0, 1, 100_000, 2 * PART_BYTES + 17])
    def test_files(self, store: ObjectStore, tmp_path: Path, size: int) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
        target.write_bytes(b"what was there, longer than nothing")
        store.put_file("folder/file", source)
        assert store.stat("folder/file").size == size
        store.get_file("folder/file", target)
        assert target.read_bytes() == source.read_bytes()

    def test_a_missing_local_file(self, store: ObjectStore, tmp_path: Path) -> None:
        with pytest.raises(ObjectNotFoundError, match="nowhere"):
            store.put_file("k", tmp_path / "nowhere")
        assert list(store.list("")) == []

    @pytest.mark.parametrize("size", [0, 5, 100_000])
    def test_put_if_absent(self, store: ObjectStore, size: int) -> None:
        store.put_if_absent("k", b"1" * size)
        for again in (b"1" * size, b"other"):
            with pytest.raises(ObjectExistsError, match="k"):
                store.put_if_absent("k", again)
        assert store.get("k") == b"1" * size
        store.delete("k")
        store.put_if_absent("k", b"other")

    def test_one_of_many_creates(self, store: ObjectStore) -> None:
        if not store.conditional:
            pytest.skip("has no conditional writes")
        won: list[bytes] = []
        together = threading.Barrier(8)

        def create(mine: bytes) -> None:
            together.wait()
            try:
                store.put_if_absent("race", mine)
            except ObjectExistsError:
                return
            won.append(mine)

        _in_threads(create, [b"writer %d" % i for i in range(8)])
        assert won == [store.get("race")]

    def test_put_if_match(self, store: ObjectStore) -> None:
        store.put("k", b"one")
        first = store.stat("k").etag
        second = store.put_if_match("k", b"two", first)
        assert (store.get("k"), store.stat("k").etag) == (b"two", second)
        with pytest.raises(PreconditionFailedError, match="k in"):
            store.put_if_match("k", b"three", first)
        assert store.get("k") == b"two"
        with pytest.raises(PreconditionFailedError):
            store.put_if_match("missing", b"", second)
        assert store.put_if_match("k", b"four", second) == store.stat("k").etag

    def test_one_of_many_replaces(self, store: ObjectStore) -> None:
        if not store.conditional:
            pytest.skip("has no conditional writes")
        store.put("k", b"base")
        base = store.stat("k").etag
        won: list[bytes] = []
        together = threading.Barrier(6)

        def replace(mine: bytes) -> None:
            together.wait()
            try:
                store.put_if_match("k", mine, base)
            except PreconditionFailedError:
                return
            won.append(mine)

        _in_threads(replace, [b"writer %d" % i for i in range(6)])
        assert won == [store.get("k")]

    def test_stat(self, store: ObjectStore) -> None:
        store.put("k", b"12345")
        found = store.stat("k")
        assert (found.key, found.size) == ("k", 5)
        assert abs(found.modified_us / 1e6 - time.time()) < 60
        assert store.stat("k") == found
        store.put("k", b"54321")
        assert store.stat("k").etag != found.etag

    def test_list(self, store: ObjectStore) -> None:
        keys = ["a", "b/1", "b/10", "b/2/3", "bb/4"]
        for key in keys:
            store.put(key, key.encode())
        for prefix in ("", "a", "b", "b/", "b/1", "b/2/", "c", "c/d", "a/"):
            found = {s.key: s for s in store.list(prefix)}
            assert sorted(found) == [k for k in keys if k.startswith(prefix)], prefix
            assert all(found[key] == store.stat(key) for key in found)
        store.delete("b/10")
        assert [s.key for s in store.list("b/1")] == ["b/1"]

    def test_copy(self, store: ObjectStore) -> None:
        store.put("k", b"12345")
        store.copy("k", "folder/copy")
        store.copy("k", "k")
        store.put("other", b"old")
        store.copy("k", "other")
        store.put("k", b"changed")
        store.delete("k")
        assert store.get("folder/copy") == store.get("other") == b"12345"

    def test_from_many_threads(self, store: ObjectStore) -> None:
        def work(name: bytes) -> None:
            for version in range(5):
                key = f"thread/{name.decode()}/{version}"
                data = name * 1000 + b"%d" % version
                store.put(key, data)
                assert store.get(key) == data
                assert store.get_ranges(key, [ByteRange(0, 2), ByteRange(1, len(data) - 1)]) == [data[:2], data[1:]]

        _in_threads(work, [b"%02d" % i for i in range(8)])
        assert len(list(store.list("thread/"))) == 40

    def test_its_url_and_closing(self, store: ObjectStore) -> None:
        assert "://" in store.url
        store.put("k", b"")
        store.close()
        store.close()


def _in_threads(work: Callable[[bytes], None], arguments: list[bytes]) -> None:
    failures: list[BaseException] = []

    def run(argument: bytes) -> None:
        try:
            work(argument)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
