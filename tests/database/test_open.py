"""Opening, closing, and who may use a database."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tiervdb
from tests.database.conftest import DIM, OPTIONS, Words, make_words
from tiervdb.errors import (
    ClosedError,
    CopiedDatabaseError,
    DatabaseLockedError,
    FencedError,
    InvalidInputError,
    NewerFormatError,
    NoRepositoryError,
    NotADatabaseError,
    ReadOnlyError,
    SettingsMismatchError,
    StateError,
    TiervdbError,
    WritesRefusedError,
)
from tiervdb.format.envelope import ENVELOPE_LENGTH, MAGIC_LENGTH, seal
from tiervdb.format.operations import DeleteRows


def made(path: Path, **settings: Any) -> Words:
    """A database with the words in it, closed."""
    data = make_words()
    with tiervdb.open(path, options=OPTIONS, **settings) as db:
        data.upsert_into(db.create_collection("words", dim=DIM, columns={"rank": "int64", **COLUMNS}))
    return data


COLUMNS = {"pos": "string", "seen": "timestamp", "tags": "list<string>"}


def test_a_database_is_a_directory(path: Path) -> None:
    data = made(path)
    with tiervdb.open(path, options=OPTIONS) as db:
        assert (db.path, db.read_only, db.seq) == (path, False, 2)
        assert db.collections() == ["words"]
        assert db["words"].search(data.vectors[3], k=1).ids.tolist() == ["w3"]
        assert repr(db) == f"<Database '{path}', open>"
    assert repr(db) == f"<Database '{path}', closed>"


def test_relative_and_text_paths(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir(exist_ok=True)
    monkeypatch.chdir(path.parent)
    with tiervdb.open("db", options=OPTIONS) as db:
        assert db.path == path
        monkeypatch.chdir("/")
        db.create_collection("words", dim=1).upsert(ids=["a"], vectors=[[1]])
    assert (path / "tiervdb.json").exists()


def calls(db: tiervdb.Database, words: tiervdb.Collection) -> list[Callable[[], object]]:
    """One of everything that can be called."""
    x = np.ones(DIM, np.float32)
    return [
        db.collections,
        lambda: db["words"],
        lambda: "words" in db,
        lambda: db.create_collection("other", dim=2),
        lambda: db.drop_collection("words"),
        lambda: db.batch().__enter__(),
        db.flush,
        db.maintain,
        lambda: db.demote("words"),
        lambda: db.promote("words"),
        lambda: db.warm("words"),
        lambda: db.snapshot("s"),
        db.snapshots,
        lambda: db.drop_snapshot("s"),
        db.pins,
        lambda: db.release_pin("x"),
        lambda: db.at(seq=1),
        lambda: db.clone(db.path / "clone"),
        db.refresh,
        db.log,
        db.status,
        db.stats,
        db.backup,
        lambda: db.seq,
        db.__enter__,
        lambda: words.schema,
        lambda: len(words),
        lambda: "w1" in words,
        words.count,
        lambda: words.get(["w1"]),
        words.scan,
        lambda: words.search(x),
        lambda: words.upsert(ids=["a"], vectors=[x]),
        lambda: words.update(ids=["w1"], columns={"rank": 1}),
        lambda: words.delete(ids=["w1"]),
        lambda: words.ingest([{"id": "a", "vector": x}]),
        lambda: words.add_column("a", "int64"),
        lambda: words.drop_column("rank"),
    ]


def test_a_closed_database_says_so(path: Path) -> None:
    made(path)
    db = tiervdb.open(path, options=OPTIONS)
    words = db["words"]
    db.close()
    db.close()  # twice is fine
    for call in calls(db, words):
        with pytest.raises(ClosedError, match="was closed; open it again"):
            call()
    assert repr(words) == "<Collection 'words' of a closed database>"


def test_a_database_closes_when_its_block_raises(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), tiervdb.open(path, options=OPTIONS):
        _ = 1 / 0
    tiervdb.open(path, options=OPTIONS).close()  # not locked


def test_a_second_writer_is_refused(path: Path) -> None:
    made(path)
    with tiervdb.open(path, options=OPTIONS):
        with pytest.raises(DatabaseLockedError, match=rf"pid {os.getpid()} .*read_only=True"):
            tiervdb.open(path, options=OPTIONS)
        code = f"import tiervdb; tiervdb.open({str(path)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "DatabaseLockedError" in done.stderr


def test_readers_beside_the_writer(path: Path) -> None:
    data = made(path)
    with tiervdb.open(path, options=OPTIONS) as db, tiervdb.open(path, read_only=True) as reader:
        assert reader.read_only
        assert repr(reader) == f"<Database '{path}', read-only>"
        db["words"].delete(where="rank < 100")
        assert len(reader["words"]) == 300
        assert reader.refresh() == db.seq
        assert len(reader["words"]) == 200
        db.demote("words", 0.5)
        db.maintain()
        assert len(reader["words"]) == 200
        assert reader["words"].search(data.vectors[250], k=1).ids.tolist() == ["w250"]
        reader.refresh()
        hits = reader["words"].search(data.vectors[250], k=3, where="rank > 150", columns=["rank"])
        assert hits.ids[0] == "w250"
        assert reader["words"].scan().read_all().num_rows == 200
        assert [pin.kind for pin in db.pins()].count("reader") >= 1
        with reader.at(seq=reader.seq) as same:
            assert len(same["words"]) == 200
    with tiervdb.open(path, options=OPTIONS) as db:
        db.maintain()
        assert db.pins() == []


def test_a_reader_writes_nothing(path: Path) -> None:
    made(path)
    with tiervdb.open(path, read_only=True) as reader:
        words = reader["words"]
        x = np.ones((1, DIM), np.float32)
        for write in (
            lambda: reader.create_collection("a", dim=1),
            lambda: reader.drop_collection("words"),
            lambda: reader.batch().__enter__(),
            reader.flush,
            reader.maintain,
            lambda: reader.demote("words"),
            lambda: reader.promote("words"),
            lambda: reader.snapshot("s"),
            lambda: reader.drop_snapshot("s"),
            lambda: reader.release_pin("p"),
            lambda: words.upsert(ids=["a"], vectors=x),
            lambda: words.update(ids=["w1"], columns={"rank": 1}),
            lambda: words.delete(ids=["w1"]),
            lambda: words.ingest([]),
            lambda: words.add_column("a", "int64"),
            lambda: words.drop_column("rank"),
        ):
            with pytest.raises(ReadOnlyError, match="opened with read_only=True"):
                write()
        reader.warm("words")
        assert reader.status().mode == "read-only"
        assert reader.stats().rows == 300
        assert reader.log().num_rows == 2
        assert reader.snapshots() == []


def test_a_reader_of_nothing(path: Path) -> None:
    with pytest.raises(NotADatabaseError):
        tiervdb.open(path, read_only=True)
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_is_told(path: Path) -> None:
    made(path)
    with tiervdb.open(path, options=OPTIONS) as db, tiervdb.open(path, read_only=True) as reader:
        pins = len(db.pins())
        for opened in (db, reader):
            queue: Any = multiprocessing.get_context("fork").Queue()
            process = multiprocessing.get_context("fork").Process(target=_use_in_child, args=(opened, queue))
            process.start()
            named = queue.get(timeout=30)
            process.join()
            assert process.exitcode == 0
            assert named == ["ForkedError"] * len(calls(db, db["words"]))
        assert len(db.pins()) == pins
        with pytest.raises(DatabaseLockedError):  # the child's close released nothing
            tiervdb.open(path, options=OPTIONS)
        db["words"].delete(ids=["w1"])
        reader.refresh()
        assert len(reader["words"]) == 299


def _use_in_child(db: tiervdb.Database, queue: Any) -> None:
    words = tiervdb.Collection(db._session, "words", 1)
    names = []
    for call in calls(db, words):
        try:
            call()
            names.append("nothing")
        except TiervdbError as error:
            names.append(type(error).__name__)
    db.close()
    queue.put(names)


def test_a_child_may_open_for_itself(path: Path) -> None:
    made(path)
    with tiervdb.open(path, options=OPTIONS):
        code = f"import tiervdb; print(len(tiervdb.open({str(path)!r}, read_only=True)['words']))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "300"


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"repository": 7}, InvalidInputError, "repository=7"),
        ({"archive": "maybe"}, InvalidInputError, "archive='maybe'"),
        ({"archive_behind": "panic"}, InvalidInputError, "archive_behind='panic'"),
        ({"tiering": {"hot_max_rows": 1}}, InvalidInputError, r"TierPolicy\(\.\.\.\)"),
        ({"durability": "none"}, InvalidInputError, "durability='none'"),
        ({"copied": "yes"}, InvalidInputError, "copied='yes'"),
        ({"cache_bytes": -1}, InvalidInputError, "cache_bytes"),
        ({"cold": "s3://key:secret@bucket/x"}, InvalidInputError, "storage_options"),
        ({"create": False}, NotADatabaseError, "is not a tiervdb database"),
    ],
)
def test_what_cannot_be_opened(path: Path, wrong: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        tiervdb.open(path, options=OPTIONS, **wrong)
    assert "secret" not in str(caught.value)
    assert not path.exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NotADatabaseError, match=r"notes\.txt"):
        tiervdb.open(tmp_path, options=OPTIONS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt"]
    with pytest.raises(TiervdbError):
        tiervdb.open(tmp_path / "notes.txt", options=OPTIONS)
    with pytest.raises(NotADatabaseError):
        tiervdb.drop(tmp_path)


def test_the_cold_store_is_remembered(path: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    data = made(path, cold=store)
    with tiervdb.open(path, options=OPTIONS) as db:
        db.demote("words")
        assert str(store) in str(db.status().cold_url)
        assert db["words"].search(data.vectors[3], k=1).ids.tolist() == ["w3"]
    assert any(store.rglob("*.parquet"))
    with tiervdb.open(path, options=OPTIONS, cold=tiervdb.Store(store)) as db:
        assert len(db["words"]) == 300
    with pytest.raises(SettingsMismatchError, match=r"not in .*elsewhere"):
        tiervdb.open(path, options=OPTIONS, cold=tmp_path / "elsewhere")


def test_a_copied_directory_must_be_told(path: Path, tmp_path: Path) -> None:
    made(path)
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    with pytest.raises(CopiedDatabaseError, match="take_over"):
        tiervdb.open(copy, options=OPTIONS)
    with tiervdb.open(copy, options=OPTIONS, copied="clone") as db:
        copied = db.status()
        assert len(db["words"]) == 300
        db["words"].delete(where="true")
    with tiervdb.open(copy, options=OPTIONS) as db:  # told once is enough
        assert len(db["words"]) == 0
    with tiervdb.open(path, options=OPTIONS) as db:
        assert db.status().database_id != copied.database_id
        assert len(db["words"]) == 300


def test_a_newer_format_is_refused(path: Path) -> None:
    made(path)
    manifest = sorted((path / "manifests").iterdir())[-1]
    kept = manifest.read_bytes()
    manifest.write_bytes(seal(kept[:MAGIC_LENGTH], 99, kept[ENVELOPE_LENGTH:]))
    with pytest.raises(NewerFormatError, match=f"{manifest.name}: it has format version 99"):
        tiervdb.open(path, options=OPTIONS)
    manifest.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(tiervdb.errors.CorruptionError, match=manifest.name):
        tiervdb.open(path, options=OPTIONS)
    manifest.write_bytes(kept)


def test_a_backup_needs_a_repository(db: tiervdb.Database) -> None:
    with pytest.raises(NoRepositoryError, match=r"has no repository.*db\.snapshot\(\)"):
        db.backup(kind="full")


def test_dropping_a_database(path: Path, tmp_path: Path) -> None:
    made(path, cold=tmp_path / "store")
    with tiervdb.open(path, options=OPTIONS) as db:
        db.demote("words")
        with pytest.raises(DatabaseLockedError):
            tiervdb.drop(path)
        assert len(db["words"]) == 300
    tiervdb.drop(path)
    assert not any(p.is_file() for p in path.rglob("*"))
    assert not any((tmp_path / "store").rglob("*.parquet"))
    with pytest.raises(NotADatabaseError):
        tiervdb.drop(path)


def test_threads_write_and_read_together(path: Path) -> None:
    with tiervdb.open(path, options=tiervdb.Options(flush_floats=2_000)) as db:
        words = db.create_collection("words", dim=DIM, id_type="int64", metric="l2")
        failures: list[BaseException] = []

        def work(number: int) -> None:
            rng = np.random.default_rng(number)
            try:
                for step in range(20):
                    ids = np.arange(10) + 1000 * number + 10 * step
                    words.upsert(ids=ids, vectors=rng.normal(size=(10, DIM)))
                    assert words.search(rng.normal(size=DIM), k=3).ids.shape == (3,)
                    assert len(words.get(ids)) == 10
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(words) == 800
    with tiervdb.open(path, options=OPTIONS) as db:
        assert len(db["words"]) == 800


def test_a_write_that_comes_too_late_is_refused(path: Path) -> None:
    made(path)
    db = tiervdb.open(path, options=OPTIONS)
    shard = db._session.shard("write")  # as a thread holds it that is about to commit
    db.close()
    with tiervdb.open(path, options=OPTIONS) as again:
        again["words"].delete(ids=["w1"])
        with pytest.raises(ClosedError):
            shard.commit([DeleteRows(1, pa.array(["w2"]))])
        with pytest.raises(ClosedError):
            shard.flush()
    with tiervdb.open(path, options=OPTIONS) as again:
        assert again["words"].get(["w1", "w2"])["id"].to_pylist() == ["w2"]


def test_a_dropped_path_is_free_again(path: Path, tmp_path: Path) -> None:
    made(path)
    made(tmp_path / "other")
    tiervdb.drop(tmp_path / "other")
    with tiervdb.open(path, options=OPTIONS) as db:
        db.clone(tmp_path / "other")
    tiervdb.drop(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_refreshing_what_does_not_move(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    assert db.refresh() == db.seq
    with db.at(seq=db.seq) as before, pytest.raises(StateError, match="does not move"):
        before.refresh()


def test_what_a_reader_has_open_is_not_dropped(tmp_path: Path) -> None:
    tiervdb.open(tmp_path / "db", options=OPTIONS).close()
    with tiervdb.open(tmp_path / "db", read_only=True), pytest.raises(DatabaseLockedError, match="being read"):
        tiervdb.drop(tmp_path / "db")
    tiervdb.drop(tmp_path / "db")
    assert not (tmp_path / "db").exists()


def test_a_copy_does_not_drop_what_the_original_has(tmp_path: Path) -> None:
    with tiervdb.open(tmp_path / "db", cold=tmp_path / "store", options=OPTIONS) as db:
        words = db.create_collection("words", dim=1, metric="l2", id_type="int64")
        words.upsert(ids=[1, 2], vectors=[[1.0], [2.0]])
        db.demote("words")
    shutil.copytree(tmp_path / "db", tmp_path / "copy")
    with pytest.raises(CopiedDatabaseError):
        tiervdb.drop(tmp_path / "copy")
    with tiervdb.open(tmp_path / "db", options=OPTIONS) as db:
        assert db["words"].search([1.0], k=5, exact=True).ids.tolist() == [1, 2]


def test_a_copied_clone_keeps_what_its_snapshots_need(tmp_path: Path) -> None:
    with tiervdb.open(tmp_path / "db", cold=tmp_path / "store", options=OPTIONS) as db:
        words = db.create_collection("words", dim=1, metric="l2", id_type="int64")
        words.upsert(ids=[1, 2], vectors=[[1.0], [2.0]])
        db.demote("words")
        db.snapshot("s1")
        db.promote("words")
    shutil.copytree(tmp_path / "db", tmp_path / "copy")
    with tiervdb.open(tmp_path / "copy", copied="clone", options=OPTIONS) as copy:
        with tiervdb.open(tmp_path / "db", options=OPTIONS) as db:
            db.drop_snapshot("s1")
            db.maintain()
        with copy.at("s1") as before:
            assert before["words"].search([1.0], k=5, exact=True).ids.tolist() == [1, 2]


def test_taking_over_shuts_the_original_out_at_once(tmp_path: Path) -> None:
    with tiervdb.open(tmp_path / "db", cold=tmp_path / "store", options=OPTIONS) as db:
        words = db.create_collection("words", dim=1, metric="l2", id_type="int64")
        words.upsert(ids=[1, 2], vectors=[[1.0], [2.0]])
        db.demote("words")
    shutil.copytree(tmp_path / "db", tmp_path / "copy")
    with (
        tiervdb.open(tmp_path / "copy", copied="take_over", options=OPTIONS) as owner,
        tiervdb.open(tmp_path / "db", options=OPTIONS) as original,
    ):
        original.promote("words")
        with suppress(WritesRefusedError):
            original.maintain()
        assert owner["words"].search([1.0], k=5, exact=True).ids.tolist() == [1, 2]
        with pytest.raises((FencedError, WritesRefusedError), match="taken over"):
            original.demote("words")
        with pytest.raises(WritesRefusedError, match="taken over"):
            original["words"].upsert(ids=[3], vectors=[[3.0]])


def test_a_clone_inside_the_database_is_refused(db: tiervdb.Database) -> None:
    with pytest.raises(InvalidInputError, match="lies within"):
        db.clone(db.path / "copy")


@pytest.mark.parametrize("given", ["s3://bucket/db", "file:///tmp/db", None, 7])
def test_what_is_no_path_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInputError, match="directory"):
        tiervdb.open(given)


def test_the_home_directory_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tiervdb.open("~/db", options=OPTIONS).close()
    assert (tmp_path / "db" / "tiervdb.json").exists()


def test_odd_settings_are_refused_by_our_own_errors(path: Path) -> None:
    with pytest.raises(InvalidInputError, match="options="):
        tiervdb.open(path, options={})  # type: ignore[arg-type]
    with tiervdb.open(path, options=OPTIONS) as db:
        with pytest.raises(InvalidInputError, match="columns="):
            db.create_collection("odd", dim=2, columns=["a"])  # type: ignore[arg-type]
        db.create_collection("words", dim=2)
        words = db.batch()["words"]
        with pytest.raises(StateError, match="with block"):
            words.delete(ids=["a"])


def test_a_file_is_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(NotADatabaseError, match="is a file"):
        tiervdb.open(tmp_path / "file")
