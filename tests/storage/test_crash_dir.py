"""The crash simulation itself: it must lose what a disk may lose, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.crash_dir import CrashDir, CrashPoint, every_crash
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.os_dir import OsDir


def after_power_loss(local: CrashDir, seed: int | None = None) -> dict[str, bytes]:
    local.drop_unsynced(seed)
    left = OsDir(local.root)
    return {name: left.read(name) for name in left.walk("")}


def test_appended_bytes_need_a_sync(tmp_path: Path) -> None:
    local = CrashDir(tmp_path / "db")
    file = local.append_file("wal")
    file.write(b"synced")
    file.sync()
    file.write(b" lost")
    assert after_power_loss(local) == {"wal": b"synced"}


def test_kept_bytes_are_a_possible_remainder(tmp_path: Path) -> None:
    seen: set[bytes] = set()
    for seed in range(30):
        local = CrashDir(tmp_path / str(seed))
        file = local.append_file("wal")
        file.write(b"synced")
        file.sync()
        file.write(b"x" * 2000)
        left = after_power_loss(local, seed)["wal"]
        assert left.startswith(b"synced")
        assert set(left[6:]) <= set(b"x\0")
        assert len(left) <= 2006
        seen.add(left)
    assert len(seen) > 10


def test_entries_need_a_folder_sync(tmp_path: Path) -> None:
    before = OsDir(tmp_path / "db")
    before.write_atomic("a", b"a")
    before.write_atomic("b", b"b")
    before.write_atomic("c", b"c")
    local = CrashDir(tmp_path / "db")
    local.delete("a")
    local.write_volatile("b", b"new")
    local.disk.rename(local.path("c"), local.path("d"))
    local.write_volatile("e", b"new")
    assert after_power_loss(local) == {"a": b"a", "b": b"b", "c": b"c"}


def test_durable_changes_stay(tmp_path: Path) -> None:
    local = CrashDir(tmp_path / "db")
    for name in ("a", "b", "c"):
        local.write_atomic(f"x/{name}", name.encode())
    local.delete("x/a", durable=True)
    local.rename("x/b", "y/b")
    local.link(local.path("x/c"), "y/c")
    local.write_atomic("x/c", b"new")
    left = {name: data for name, data in after_power_loss(local).items() if not name.startswith("tmp/")}
    assert left == {"y/b": b"b", "y/c": b"c", "x/c": b"new"}


def test_a_new_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    local = CrashDir(tmp_path / "db")
    local.make()
    local.disk.make_folder(local.path("x"))
    local.disk.close(local.disk.create(local.path("x/file")))
    local.disk.sync_folder(local.path("x"))
    assert after_power_loss(local) == {}
    assert not local.path("x").exists()


def test_a_cut_that_was_not_synced_may_be_undone(tmp_path: Path) -> None:
    OsDir(tmp_path / "db").write_atomic("wal", b"0123456789")
    local = CrashDir(tmp_path / "db", crash_at=2)
    with pytest.raises(CrashPoint):
        local.reopen_append("wal", 4)
    assert after_power_loss(local) == {"wal": b"0123456789"}


def test_shared_words_may_be_older(tmp_path: Path) -> None:
    OsDir(tmp_path / "db").shared_words("words", 2)[:] = [1, 2]
    possible = {(1, 2), (1, 20), (10, 2), (10, 20)}
    seen = set()
    for seed in (None, *range(12)):
        OsDir(tmp_path / "db").shared_words("words", 2)[:] = [1, 2]
        local = CrashDir(tmp_path / "db")
        local.shared_words("words", 2)[:] = [10, 20]
        local.drop_unsynced(seed)
        left = tuple(int(w) for w in OsDir(tmp_path / "db").shared_words("words", 2))
        assert left == (1, 2) if seed is None else left in possible
        seen.add(left)
    assert len(seen) > 2


def test_a_rename_never_loses_both_names(tmp_path: Path) -> None:
    outcomes = set()
    for seed in range(40):
        root = tmp_path / str(seed)
        OsDir(root).write_atomic("x/old", b"data")
        OsDir(root).write_atomic("y/other", b"")
        local = CrashDir(root)
        local.disk.rename(local.path("x/old"), local.path("y/new"))
        local.disk.rename(local.path("y/other"), local.path("y/renamed"))
        left = after_power_loss(local, seed)
        outcomes.add((held := ("x/old" in left, "y/new" in left), "y/other" in left))
        assert any(held)
        assert ("y/other" in left) != ("y/renamed" in left)
    assert len(outcomes) > 3


def test_nothing_runs_after_the_crash(tmp_path: Path) -> None:
    local = CrashDir(tmp_path / "db", crash_at=3, when="after")
    with pytest.raises(CrashPoint):
        local.write_atomic("a", b"")
    assert local.steps == 3
    for call in (lambda: local.read("a"), lambda: local.write_atomic("a", b""), lambda: local.lock("l")):
        with pytest.raises(CrashPoint):
            call()
    assert local.steps == 3


def test_a_write_may_be_cut_in_the_middle(tmp_path: Path) -> None:
    local = CrashDir(tmp_path / "db", when="during")
    file = local.append_file("wal")
    local.crash_disk.crash_at = local.steps + 1
    with pytest.raises(CrashPoint):
        file.write(b"12345678")
    local.kill()
    assert OsDir(local.root).read("wal") == b"1234"


def test_killing_frees_the_lock(tmp_path: Path) -> None:
    local = CrashDir(tmp_path / "db")
    assert local.lock("writer.lock") is not None
    assert OsDir(local.root).lock("writer.lock") is None
    local.kill()
    lock = OsDir(local.root).lock("writer.lock")
    assert lock is not None
    lock.release()


def test_every_step_is_visited_quickly(tmp_path: Path) -> None:
    def workload(local: LocalDir) -> None:
        for number in range(20):
            local.write_atomic(f"folder/{number % 3}", b"x" * 5000)

    started = time.monotonic()
    numbers = []
    for crashed in every_crash(workload, tmp_path):
        numbers.append(crashed.steps)
        crashed.drop_unsynced()
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 100
    assert time.monotonic() - started < 30
