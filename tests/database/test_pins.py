"""Pins of clones in a shared cold store, as the owner of the objects sees and releases them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiervdb
from tests.database.conftest import OPTIONS
from tiervdb.engine import borrowing
from tiervdb.errors import CorruptionError, PinNotFoundError, ReadOnlyError, StateError, StoreUnavailableError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def db(path: Path, store: Path) -> Iterator[tiervdb.Database]:
    with tiervdb.open(path, cold=store, options=OPTIONS) as db:
        words = db.create_collection("words", dim=1, metric="l2", id_type="int64")
        words.upsert(ids=range(5), vectors=np.arange(5, dtype=np.float32).reshape(5, 1))
        db.demote("words")
        yield db


def objects(store: Path) -> list[Path]:
    return list(store.rglob("*.parquet"))


def test_a_clone_is_among_the_owners_pins(db: tiervdb.Database, store: Path, tmp_path: Path) -> None:
    copy = db.clone(tmp_path / "copy")
    db.snapshot("s")
    snapshot, clone = db.pins()
    assert (snapshot.kind, snapshot.where, clone.where) == ("snapshot", str(db.path), store.as_uri())
    with tiervdb.open(copy, options=OPTIONS) as opened:
        assert clone.holder == opened.status().database_id
        assert opened.pins() == []
    assert (clone.kind, clone.state, clone.path, clone.seq) == ("clone", "held", str(copy), 2)
    assert clone.host
    assert clone.depends is not None
    assert f"in {copy} on {clone.host} reads 3 cold objects here at commit 2; 0 of them" in clone.depends
    db.drop_collection("words")
    db.drop_snapshot("s")
    db.flush()
    db.maintain()
    assert "3 of them nothing here needs any more" in str(db.pins()[0].depends)


def test_a_reader_sees_them_and_does_not_release_them(db: tiervdb.Database, path: Path, tmp_path: Path) -> None:
    db.clone(tmp_path / "copy")
    with tiervdb.open(path, read_only=True, options=OPTIONS) as reader:
        assert [pin.kind for pin in reader.pins()] == ["reader", "clone"]
        with pytest.raises(ReadOnlyError):
            reader.release_pin(reader.pins()[1].id)


def test_the_pin_of_a_reader_that_reads_is_not_released(db: tiervdb.Database, path: Path) -> None:
    with tiervdb.open(path, read_only=True, options=OPTIONS) as reader:
        [pin] = db.pins()
        with pytest.raises(StateError, match="in use"):
            db.release_pin(pin.id)
        assert len(reader["words"].search([0.0], k=9, exact=True)) == 5


def test_releasing_lets_the_objects_go(db: tiervdb.Database, store: Path, tmp_path: Path) -> None:
    db.clone(tmp_path / "copy")
    db.drop_collection("words")
    db.flush()
    db.maintain()
    [pin] = db.pins()
    assert db.release_pin(pin.id, dry_run=True) == pin
    db.maintain()
    assert (len(db.pins()), len(objects(store))) == (1, 1)
    assert db.release_pin(pin.id) == pin
    db.maintain()
    assert (db.pins(), objects(store)) == ([], [])
    with tiervdb.open(tmp_path / "copy", options=OPTIONS) as copy, pytest.raises(CorruptionError, match="parquet"):
        copy["words"].search([1.0], k=1, exact=True)
    for gone in (pin.id, "f" * 32, "../x"):
        with pytest.raises(PinNotFoundError, match="pins"):
            db.release_pin(gone)


def test_an_unfinished_clone_is_told_apart(
    db: tiervdb.Database, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(borrowing, "finish_if_possible", lambda *_: [])
    db.clone(tmp_path / "copy")
    [pin] = db.pins()
    assert pin.state == "making"
    assert "an unfinished clone" in str(pin.depends)
    assert "which runs" in str(pin.depends)
    monkeypatch.setattr("os.kill", lambda *_: (_ for _ in ()).throw(ProcessLookupError()))
    assert "which is gone" in str(db.pins()[0].depends)
    db.release_pin(pin.id)
    assert db.pins() == []


def test_a_store_that_is_away_is_said(
    db: tiervdb.Database, store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db.clone(tmp_path / "copy")
    db.snapshot("s")
    pin = db.pins()[1]
    assert db.pins().away is None
    store.rename(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING, "tiervdb"):
        found = db.pins()
    assert [pin.kind for pin in found] == ["snapshot"]
    assert store.as_uri() in str(found.away)
    assert "not known" in caplog.text
    with pytest.raises(PinNotFoundError, match="not known"):
        db.release_pin(pin.id)
    with pytest.raises(StoreUnavailableError):
        db.clone(tmp_path / "another")
    (tmp_path / "elsewhere").rename(store)
    db.release_pin(pin.id)


def test_a_damaged_pin_keeps_everything_until_it_is_released(db: tiervdb.Database, store: Path, tmp_path: Path) -> None:
    db.clone(tmp_path / "copy")
    [pin] = db.pins()
    [file] = store.rglob(pin.id)
    file.write_bytes(file.read_bytes().replace(b"clone", b"clown"))
    [damaged] = db.pins()
    assert (damaged.id, damaged.state, damaged.seq) == (pin.id, "damaged", None)
    assert str(pin.id) in str(damaged.depends)
    db.drop_collection("words")
    db.flush()
    with pytest.raises(CorruptionError, match=pin.id):
        db.maintain()
    assert len(objects(store)) == 1
    db.release_pin(pin.id)
    db.maintain()
    assert objects(store) == []
