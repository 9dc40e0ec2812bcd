"""Flushing while others write, and after something failed. With real threads where order is what matters."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.workload import flushed, rows, some_rows, two_collections
from tests.model.bench import Bench
from tests.model.model import assert_same
from tests.support.faulty_dir import FaultyDir, io_error
from tiervdb.engine import flush as flushing
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import CommitOutcomeUnknown, DiskFullError, StorageError, WritesRefusedError
from tiervdb.format.manifest import Manifest


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench")
    made.directory = FaultyDir(tmp_path / "bench")
    made.start()
    yield made
    made.verify()
    made.stop()


def in_the_middle(bench: Bench, monkeypatch: pytest.MonkeyPatch, action: object) -> None:
    """Runs a flush, and ``action`` when its segments are written and its manifest is not."""
    write = flushing._write_segments

    def then_act(*args: object) -> object:
        written = write(*args)
        monkeypatch.setattr(flushing, "_write_segments", write)
        action()
        return written

    monkeypatch.setattr(flushing, "_write_segments", then_act)
    bench.db.flush()


def test_what_is_written_meanwhile_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed(bench)

    def meanwhile() -> None:
        bench.upsert("words", rows([3, 8, 50], 5))  # in the frozen memtable, in a segment, new
        bench.delete("words", [30, 10])
        bench.update("words", [11], {"pos": "new"})
        bench.delete("texts", ["id 1"])
        assert_same(bench.db, bench.model)

    in_the_middle(bench, monkeypatch, meanwhile)
    bench.verify()
    bench.db.flush()
    bench.verify()
    bench.stop()
    bench.start()


def test_a_collection_that_is_dropped_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed(bench)

    def meanwhile() -> None:
        bench.drop("words")
        bench.create("words", 3, "l2", "int64", {"rank": "int64", "pos": "string"})
        bench.upsert("words", rows([1], 7))

    in_the_middle(bench, monkeypatch, meanwhile)
    bench.verify()
    bench.db.flush()
    bench.db.maintain()


def test_a_merge_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    two_collections(bench)
    for n in range(4):
        bench.upsert("words", rows(range(3 * n, 3 * n + 5), n))
        bench.db.flush()
    bench.upsert("words", rows([0, 4, 7, 90], 8))
    bench.delete("words", [5])

    def meanwhile() -> None:
        bench.delete("words", [1, 90])
        assert bench.shard.tend_once()

    in_the_middle(bench, monkeypatch, meanwhile)
    bench.db.maintain()


def test_a_view_keeps_its_state(bench: Bench) -> None:
    flushed(bench)
    before, view = bench.model, bench.db._session.view()
    bench.upsert("words", rows(range(40), 9))
    bench.db.flush()
    bench.drop("texts")
    bench.db.demote("words")
    bench.db.maintain()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.db._session, "view", lambda: view)
        patch.setattr(bench.db._session, "catalog", lambda: view.catalog)
        assert_same(bench.db, before)


def test_a_full_disk_in_a_flush_loses_nothing_and_leaves_nothing(bench: Bench) -> None:
    some_rows(bench)
    bench.directory.fill_up(500)
    for _ in range(3):
        with pytest.raises(DiskFullError):
            bench.db.flush()
        assert_same(bench.db, bench.model)
    bench.directory.make_room()
    bench.upsert("words", rows([1, 60], 5))
    bench.db.flush()
    bench.db.maintain()
    assert bench.check(bench.local) == []


def test_after_a_manifest_of_unknown_fate_nothing_more_is_written(bench: Bench) -> None:
    """It may be the newest one after a power loss: what it names must stay as it is."""
    flushed(bench)
    bench.directory.plan.fail(io_error(), "sync_folder", name_part="manifests")
    with pytest.raises(StorageError):
        bench.db.flush()
    before = {name: bench.local.read(name) for name in bench.local.walk("segments")}
    assert ManifestStore(bench.local, 0).versions()[-1] > bench.shard.manifest().version
    for call in (bench.db.flush, bench.db.maintain, lambda: bench.db.demote("words")):
        with pytest.raises(WritesRefusedError):
            call()
    with pytest.raises(WritesRefusedError):
        bench.db["words"].delete(ids=[1])
    assert {name: bench.local.read(name) for name in before} == before
    assert_same(bench.db, bench.model)
    bench.stop()
    bench.start()


def test_commits_are_refused_after_a_failed_write_but_reading_goes_on(bench: Bench) -> None:
    some_rows(bench)
    bench.directory.plan.fail(io_error(), "sync", name_part=".wal")
    with pytest.raises(CommitOutcomeUnknown) as caught:
        bench.upsert("words", rows([70], 7))
    assert caught.value.seq == bench.acked + 1
    assert_same(bench.db, bench.model)
    with pytest.raises(WritesRefusedError, match="open it again"):
        bench.db["words"].delete(ids=[1])
    bench.stop()
    bench.start()
    bench.model, bench.acked = bench.states[bench.db.seq], bench.db.seq


def test_a_flush_waits_until_what_it_takes_is_visible(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is synced before its commits are shown: a flush in between must not install what is not shown yet."""
    some_rows(bench)
    core = bench.shard.core
    synced, go, frozen = threading.Event(), threading.Event(), threading.Event()
    shows, sync, publish = core.group._on_durable, core.group.fsync, core.env.manifests.publish
    published: list[tuple[int, int]] = []  # the seq of a manifest, and what was visible when it appeared

    def late(seq: int) -> None:
        synced.set()
        assert go.wait(10)
        shows(seq)

    def waits() -> None:
        frozen.set()
        sync()

    def notes(manifest: Manifest) -> None:
        frozen.set()  # a flush that does not wait comes here first
        published.append((manifest.flushed_seq, bench.db.seq))
        publish(manifest)

    monkeypatch.setattr(core.group, "_on_durable", late)
    monkeypatch.setattr(core.group, "fsync", waits)
    monkeypatch.setattr(core.env.manifests, "publish", notes)
    with ThreadPoolExecutor(2) as pool:
        write = pool.submit(bench.db["words"].delete, ids=[0])
        assert synced.wait(10)
        monkeypatch.setattr(core.group, "_on_durable", shows)
        flush = pool.submit(bench.db.flush)
        assert frozen.wait(10)
        assert published == []
        go.set()
        write.result(10)
        flush.result(10)
    assert published == [(bench.acked + 1, bench.acked + 1)]
    bench.model = bench.model.set("words", bench.model.collections["words"].delete([0]))
    bench.acked += 1
