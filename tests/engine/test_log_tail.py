"""Following a log that grows: every record once, across files, holes and damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backup.conftest import World, create, put
from tiervdb.engine import log_files
from tiervdb.engine.log_tail import LogTail
from tiervdb.storage.os_dir import OsDir


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.options = world.options.__class__(background=False, wal_file_bytes=1500)
    return world


def test_every_record_once_across_files(world: World) -> None:
    with world.open_alone("db") as db:
        local = OsDir(world.folder / "db")
        tail = LogTail(local, 0)
        create(db)
        seen: list[bytes] = []
        for first in range(0, 200, 10):
            put(db, first)
            if first % 30 == 0:
                seen += [bytes(record) for _, record in tail.take(len(seen), db.seq, 10**9)]
                assert len(seen) == db.seq
        seen += [bytes(record) for _, record in tail.take(len(seen), db.seq, 10**9)]
        assert seen == [bytes(record) for _, record in log_files.taken(local, 0, 0, db.seq)]
        assert len(list((world.folder / "db" / "wal").glob("*.wal"))) > 3
        assert [h.seq for h, _ in tail.take(3, db.seq, 1)] == [4]  # at least one
        assert [h.seq for h, _ in tail.take(4, 7, 10**9)] == [5, 6, 7]
        assert tail.take(db.seq, db.seq, 10**9) == []
        assert tail.take(db.seq, db.seq + 5, 10**9) == []
        put(db, 900)
        assert [h.seq for h, _ in tail.take(db.seq - 1, db.seq, 10**9)] == [db.seq]


def test_holes_and_damage_end_it(world: World) -> None:
    with world.open_alone("db") as db:
        create(db)
        for first in range(0, 200, 10):
            put(db, first)
        seq = db.seq
    local = OsDir(world.folder / "db")
    files = sorted((world.folder / "db" / "wal").glob("*.wal"))
    hole = int(files[2].stem.split("-")[1])
    kept = files[2].read_bytes()
    files[2].unlink()
    assert [h.seq for h, _ in LogTail(local, 0).take(0, seq, 10**9)] == list(range(1, hole))
    assert LogTail(local, 0).take(hole, seq, 10**9) == []
    assert log_files.taken_if_there(local, 0, hole - 2, seq) == []
    files[2].write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    found = [h.seq for h, _ in LogTail(local, 0).take(0, seq, 10**9)]
    assert found == list(range(1, len(found) + 1))
    assert hole <= len(found) < seq
