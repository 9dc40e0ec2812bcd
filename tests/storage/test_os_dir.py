"""Local files: names, atomicity, durability, locks, errors."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.crash_dir import CrashDir, every_crash
from tests.support.faulty_dir import FaultyDir, io_error
from tiervdb.errors import (
    CorruptionError,
    DiskFullError,
    InvalidInputError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.os_dir import OsDir


@pytest.fixture
def local(tmp_path: Path) -> OsDir:
    return OsDir(tmp_path / "db")


@pytest.mark.parametrize("name", ["", "..", "a/../../b", "/etc/passwd", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb"])
def test_names_that_lead_out_are_refused(local: LocalDir, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: local.read(name),
        lambda: local.write_atomic(name, b""),
        lambda: local.create_exclusive(name, b""),
        lambda: local.append_file(name),
        lambda: local.stage(name),
        lambda: local.path(name),
        lambda: local.rename("a", name),
        lambda: local.rename(name, "a"),
        lambda: local.delete(name),
        lambda: local.lock(name),
        lambda: local.sub(name),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError):
            call()
    assert not local.root.exists()


def test_atomic_writes(local: LocalDir) -> None:
    local.write_atomic("folder/a", b"one")
    local.write_atomic("folder/a", b"three")
    local.write_volatile("folder/b", memoryview(b"two"))
    assert (local.read("folder/a"), local.read("folder/b")) == (b"three", b"two")
    assert (local.size("folder/a"), local.exists("folder/a"), local.exists("folder")) == (5, True, False)
    assert local.list("folder") == ["folder/a", "folder/b"]
    assert local.list("tmp") == local.list("nowhere") == local.list("") == []
    assert sorted(local.walk("")) == ["folder/a", "folder/b"]
    local.delete("folder/a")
    local.delete("folder/a", durable=True)
    assert local.list("folder") == ["folder/b"]


def test_what_is_missing(local: LocalDir) -> None:
    local.write_atomic("file", b"")
    for name in ("nowhere", "no/where", "file/below"):
        calls: list[Callable[[str], object]] = [
            local.read,
            local.map,
            local.size,
            lambda name: local.read_ranges(name, [(0, 1)]),
            lambda name: local.reopen_append(name, 0),
            lambda name: local.rename(name, "other"),
        ]
        for call in calls:
            with pytest.raises(ObjectNotFoundError, match=name.split("/")[0]):
                call(name)
        assert not local.exists(name)
        local.delete(name)


def test_one_of_many_creates(local: LocalDir) -> None:
    won: list[int] = []
    together = threading.Barrier(8)

    def create(number: int) -> None:
        together.wait()
        try:
            local.create_exclusive("claim", b"%d" % number)
        except ObjectExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % n for n in won] == [local.read("claim")]
    assert local.list("tmp") == []


def test_appending(local: LocalDir) -> None:
    file = local.append_file("wal/1")
    with pytest.raises(ObjectExistsError, match="wal/1"):
        local.append_file("wal/1")
    file.write(b"12345")
    file.sync()
    file.write(memoryview(b"678"))
    assert file.size == 8
    file.close()
    file.close()
    with pytest.raises(StorageError, match="closed"):
        file.write(b"9")
    with pytest.raises(StorageError, match="8 bytes"):
        local.reopen_append("wal/1", 9)
    again = local.reopen_append("wal/1", 4)
    again.write(b"x")
    assert again.size == 5
    again.close()
    assert local.read("wal/1") == b"1234x"


def test_staging(local: LocalDir) -> None:
    with local.stage("big") as staged:
        staged.write(b"12")
        staged.write(b"34")
        assert not local.exists("big")
        staged.commit()
    assert local.read("big") == b"1234"
    with local.stage("big") as staged:
        staged.write(b"never")
    with pytest.raises(ZeroDivisionError), local.stage("big") as staged:
        staged.write(b"%d" % (1 // 0))
    assert (local.read("big"), local.list("tmp")) == (b"1234", [])


@pytest.mark.parametrize("replaced", [False, True])
def test_a_library_writes_the_staged_file(local: LocalDir, replaced: bool) -> None:
    with local.stage("index") as staged:
        if replaced:
            staged.path.unlink()
        staged.path.write_bytes(b"by itself")
        staged.commit()
    assert local.read("index") == b"by itself"


def test_mapping_outlives_the_file(local: LocalDir) -> None:
    local.write_atomic("a", b"12345")
    local.write_atomic("empty", b"")
    view = local.map("a")
    local.delete("a")
    assert (bytes(view), view.readonly, bytes(local.map("empty"))) == (b"12345", True, b"")


def test_ranges(local: LocalDir) -> None:
    local.write_atomic("a", b"0123456789")
    assert local.read_ranges("a", [(2, 3), (8, 5), (20, 1), (0, 0)]) == [b"234", b"89", b"", b""]


def test_links(local: LocalDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"shared")
    local.link(source, "folder/linked")
    assert local.path("folder/linked").samefile(source)
    with pytest.raises(ObjectExistsError):
        local.link(source, "folder/linked")
    with pytest.raises(ObjectNotFoundError, match="nowhere"):
        local.link(tmp_path / "nowhere", "other")

    def no_links(source: Path, target: Path) -> None:
        raise io_error(errno.EXDEV)

    monkeypatch.setattr(os, "link", no_links)
    local.link(source, "folder/copied")
    assert local.read("folder/copied") == b"shared"
    assert not local.path("folder/copied").samefile(source)
    with pytest.raises(ObjectExistsError):
        local.link(source, "folder/copied")


def test_shared_words(local: LocalDir) -> None:
    words = local.shared_words("wal/published", 2)
    seen = OsDir(local.root).shared_words("wal/published", 2)
    words[1] = 2**63 + 5
    assert words.dtype == np.uint64
    assert list(seen) == [0, 2**63 + 5]
    with pytest.raises(CorruptionError, match="published"):
        local.shared_words("wal/published", 3)
    local.write_atomic("empty", b"")
    with pytest.raises(CorruptionError, match="empty"):
        local.shared_words("empty", 1)


def test_locks(local: LocalDir) -> None:
    assert not local.is_locked("writer.lock")
    lock = local.lock("writer.lock")
    assert lock is not None
    assert local.is_locked("writer.lock")
    assert local.lock("writer.lock") is None
    assert OsDir(local.root).lock("writer.lock") is None
    lock.release()
    lock.release()
    assert not local.is_locked("writer.lock")
    again = local.lock("writer.lock")
    assert again is not None
    again.release()
    assert local.read("writer.lock") == b""


def test_a_lock_ends_with_its_process(local: LocalDir) -> None:
    code = (
        "import sys; from tiervdb.storage.os_dir import OsDir; lock = OsDir(sys.argv[1]).lock('writer.lock')\n"
        "print(lock is not None, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(local.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"True"
        assert local.is_locked("writer.lock")
        assert local.lock("writer.lock") is None
        child.kill()
    lock = local.lock("writer.lock")
    assert lock is not None
    lock.release()


def test_a_forked_child_does_not_keep_the_lock(local: LocalDir) -> None:
    lock = local.lock("writer.lock")
    assert lock is not None
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        theirs.recv()

    process = context.Process(target=child)
    process.start()
    try:
        assert local.is_locked("writer.lock")
        lock.release()
        taken = local.lock("writer.lock")
        assert taken is not None
        taken.release()
    finally:
        ours.send("end")
        process.join()
        ours.close()
        theirs.close()


def test_a_lock_on_a_deleted_file_is_taken_anew(local: LocalDir) -> None:
    first = local.lock("l")
    assert first is not None
    local.delete("l")
    second = local.lock("l")
    assert second is not None
    first.release()
    second.release()


def test_a_folder_that_somebody_deletes_comes_back(local: LocalDir) -> None:
    local.write_atomic("folder/a", b"")
    local.delete("folder/a")
    local.path("folder").rmdir()
    local.path("tmp").rmdir()
    local.append_file("folder/b").close()
    local.write_atomic("folder/c", b"")
    assert local.list("folder") == ["folder/b", "folder/c"]


STEPS = ["create", "write", "sync", "rename", "sync_folder"]


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failing_atomic_write(tmp_path: Path, kind: str, when: str) -> None:
    local = FaultyDir(tmp_path / "db")
    local.write_atomic("a", b"old")
    local.plan.fail(io_error(), kind, when=when)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match=r"db/(a|tmp)"):
        local.write_atomic("a", b"new")
    assert local.read("a") in {b"old", b"new"}
    local.write_atomic("a", b"newer")
    assert local.read("a") == b"newer"


def test_a_full_disk(tmp_path: Path) -> None:
    local = FaultyDir(tmp_path / "db")
    local.write_atomic("a", b"old")
    file = local.append_file("wal")
    local.fill_up(3)
    with pytest.raises(DiskFullError, match="free some"):
        local.write_atomic("a", b"newer")
    assert (local.read("a"), local.list("tmp")) == (b"old", [])
    with pytest.raises(DiskFullError, match="wal"):
        file.write(b"12345")
    local.make_room()
    with pytest.raises(StorageError, match="earlier"):
        file.write(b"12345")
    with pytest.raises(StorageError, match="earlier"):
        file.sync()
    file.close()


def test_a_failed_sync_is_not_tried_again(tmp_path: Path) -> None:
    local = FaultyDir(tmp_path)
    file = local.append_file("wal")
    file.write(b"1")
    local.plan.fail(io_error(), "sync")
    with pytest.raises(StorageError, match="syncing"):
        file.sync()
    with pytest.raises(StorageError, match="earlier"):
        file.sync()
    file.close()


def test_damaged_reads(tmp_path: Path) -> None:
    local = FaultyDir(tmp_path, seed=1)
    data = bytes(1000)
    local.write_atomic("a", data)
    local.plan.damage("flip", "read", name_part="a")
    local.plan.damage("cut", "read", name_part="a", at=2)
    flipped, cut = local.read("a"), bytes(local.map("a"))
    assert sum(byte.bit_count() for byte in flipped) == 1
    assert len(cut) < len(data)
    assert local.read("a") == data


def _replace_some(local: LocalDir, acknowledged: list[bytes]) -> None:
    for number in range(5):
        local.write_atomic("folder/state", b"%d" % number * 1000)
        acknowledged.append(b"%d" % number * 1000)


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_atomic_writes_survive_every_crash(tmp_path: Path, when: str, seed: int | None) -> None:
    acknowledged: list[bytes] = []

    def workload(local: CrashDir) -> None:
        acknowledged.clear()
        _replace_some(local, acknowledged)

    stopped = 0
    for crashed in every_crash(workload, tmp_path, when):  # type: ignore[arg-type]
        stopped += 1
        crashed.drop_unsynced(seed)
        local = OsDir(crashed.root)
        found = local.read("folder/state") if local.exists("folder/state") else b""
        possible = {acknowledged[-1] if acknowledged else b"", b"%d" % len(acknowledged) * 1000}
        assert found in possible, crashed.trace[-3:]
    assert stopped > 25


@pytest.mark.parametrize("seed", [None, 3, 4, 5])
def test_synced_appends_survive_every_crash(tmp_path: Path, seed: int | None) -> None:
    state = {"synced": 0, "written": 0}

    def workload(local: CrashDir) -> None:
        state.update(synced=0, written=0)
        file = local.append_file("wal/1")
        for number in range(10):
            file.write(b"%d" % number * 700)
            state["written"] += 700
            if number % 3 == 2:
                file.sync()
                state["synced"] = state["written"]
        file.close()
        state.update(synced=100)  # from here on the rest may go
        local.reopen_append("wal/1", 100).close()
        local.rename("wal/1", "old/1")

    whole = b"".join(b"%d" % number * 700 for number in range(10))
    for crashed in every_crash(workload, tmp_path):
        crashed.drop_unsynced(seed)
        local = OsDir(crashed.root)
        names = [name for name in ("wal/1", "old/1") if local.exists(name)]
        assert names or not state["synced"], crashed.trace[-2:]
        for name in names:
            found = local.read(name)
            assert found[: state["synced"]] == whole[: state["synced"]]
            if seed is None:
                assert len(found) >= state["synced"]
