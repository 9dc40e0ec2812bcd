"""What only a directory store does: it can be gone, and every write is durable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.crash_dir import CrashDir, every_crash
from tests.support.faulty_dir import FaultyDir, io_error
from tiervdb.errors import (
    DiskFullError,
    InvalidInputError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StoreUnavailableError,
)
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.object_store import ByteRange
from tiervdb.storage.os_dir import OsDir


def test_a_directory_that_is_gone_is_away(tmp_path: Path) -> None:
    store = DirectoryStore(OsDir(tmp_path / "mount"), create=False)
    file = tmp_path / "file"
    file.write_bytes(b"")
    calls: list[Callable[[], object]] = [
        lambda: store.get("k"),
        lambda: store.get_ranges("k", [ByteRange(0, 1)]),
        lambda: store.get_file("k", tmp_path / "target"),
        lambda: store.put("k", b""),
        lambda: store.put_file("k", file),
        lambda: store.put_if_absent("k", b""),
        lambda: store.put_if_match("k", b"", "0"),
        lambda: store.stat("k"),
        lambda: list(store.list("")),
        lambda: store.delete("k"),
        lambda: store.copy("k", "l"),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailableError, match="mount"):
            call()
    assert not (tmp_path / "mount").exists()
    (tmp_path / "mount").mkdir()
    store.put("k", b"back")
    assert store.get("k") == b"back"


def test_staged_files_are_no_objects(tmp_path: Path) -> None:
    store = DirectoryStore(OsDir(tmp_path))
    with store.local.stage("k") as staged:
        staged.write(b"half")
        assert list(store.list("")) == list(store.list("tmp/")) == []
    with pytest.raises(InvalidInputError, match="tmp/"):
        store.put("tmp/k", b"")


def test_large_objects_have_etags_without_being_read(tmp_path: Path) -> None:
    store = DirectoryStore(OsDir(tmp_path))
    store.put("k", bytes(100_000))
    first = store.stat("k").etag
    assert store.put_if_match("k", bytes(100_000), first) != first


def test_a_copy_is_a_link(tmp_path: Path) -> None:
    store = DirectoryStore(OsDir(tmp_path))
    store.put("k", b"old")
    store.copy("k", "copy")
    assert (tmp_path / "copy").samefile(tmp_path / "k")
    store.put("k", b"new")
    assert store.get("copy") == b"old"


def test_disk_errors(tmp_path: Path) -> None:
    local = FaultyDir(tmp_path / "store")
    store = DirectoryStore(local)
    store.put("k", b"old")
    local.fill_up(2)
    with pytest.raises(DiskFullError):
        store.put("k", b"newer")
    local.make_room()
    local.plan.fail(io_error(), "read")
    with pytest.raises(StorageError, match="k"):
        store.get("k")
    assert [(s.key, s.size) for s in store.list("")] == [("k", 3)]


@pytest.mark.parametrize("seed", [None, 7])
def test_what_it_acknowledged_survives_every_crash(tmp_path: Path, seed: int | None) -> None:
    done: list[str] = []
    source = tmp_path / "source"
    source.write_bytes(b"file")

    def workload(local: CrashDir) -> None:
        done.clear()
        store = DirectoryStore(local.sub("cold"))
        store.put("a/put", b"put")
        done.append("a/put")
        store.put_file("a/file", source)
        done.append("a/file")
        store.put_if_absent("b/absent", b"absent")
        done.append("b/absent")
        store.copy("a/put", "c/copy")
        done.append("c/copy")
        store.delete("a/put")
        done.append("-a/put")

    for crashed in every_crash(workload, tmp_path):
        crashed.drop_unsynced(seed)
        store = DirectoryStore(OsDir(crashed.root / "cold"))
        contents = {"a/put": b"put", "a/file": b"file", "b/absent": b"absent", "c/copy": b"put"}
        for stat in store.list(""):
            assert store.get(stat.key) == contents[stat.key]
        there = {stat.key for stat in store.list("")}
        assert {key for key in done if not key.startswith("-")} - {"a/put"} <= there
        assert ("a/put" in there) or "a/put" not in done or "c/copy" in done
        assert not ("-a/put" in done and "a/put" in there)
        for key in there:
            with pytest.raises(ObjectExistsError):
                store.put_if_absent(key, b"")
        with pytest.raises(ObjectNotFoundError):
            store.get("never")
