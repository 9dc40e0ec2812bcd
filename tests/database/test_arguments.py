"""Arguments that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tiervdb
from tests.database.conftest import OPTIONS
from tiervdb.errors import InvalidInputError, NotADatabaseError, PinNotFoundError


@pytest.mark.parametrize("note", [5, b"x", ["a"], "\ud800"])
def test_notes_that_are_no_text(path: Path, note: Any) -> None:
    """Such a note in the log would make it unreadable."""
    with tiervdb.open(path, options=OPTIONS) as db:
        words = db.create_collection("words", dim=1, columns={"n": "int"})
        for write in (
            lambda: words.upsert(ids=["a"], vectors=[[1]], note=note),
            lambda: words.update(ids=["a"], columns={"n": 1}, note=note),
            lambda: words.delete(ids=["a"], note=note),
            lambda: db.batch(note=note),
        ):
            with pytest.raises(InvalidInputError, match=r"note=.* is not usable"):
                write()
        words.upsert(ids=["a"], vectors=[[1]], note="a word \N{SNOWMAN}")
    with tiervdb.open(path, options=OPTIONS) as db:
        assert db.log()["note"].to_pylist() == [None, "a word \N{SNOWMAN}"]


@pytest.mark.parametrize("wrong", [None, 5, b"/tmp/x", ""])
def test_paths_that_are_none(db: tiervdb.Database, wrong: Any) -> None:
    for use in (tiervdb.open, tiervdb.check, tiervdb.drop, db.clone):
        with pytest.raises(InvalidInputError, match="path"):
            use(wrong)


def test_a_cold_store_that_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="5 is no path; give cold= a directory, a URL or a Store"):
        tiervdb.open("db", cold=5)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_home_is_known_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with tiervdb.open("~/db", cold="~/cold", options=OPTIONS) as db:
        words = db.create_collection("words", dim=1)
        words.upsert(ids=["a"], vectors=[[1]])
        db.demote("words")
        assert db.clone("~/copy") == tmp_path / "copy"
        with pytest.raises(InvalidInputError, match=f"ingest {tmp_path}/rows.parquet: there is no such file"):
            words.ingest("~/rows.parquet")
    assert tiervdb.check("~/db").ok
    assert (tmp_path / "cold").is_dir()
    tiervdb.drop("~/copy")
    with pytest.raises(NotADatabaseError, match=str(tmp_path)):
        tiervdb.check("~/copy")


def test_names_of_collections_one_by_one(db: tiervdb.Database) -> None:
    db.create_collection("b", dim=1)
    db.create_collection("a", dim=1)
    assert list(db) == ["a", "b"]


def test_other_odd_arguments(db: tiervdb.Database) -> None:
    with pytest.raises(PinNotFoundError, match=r"None is no id of a pin; db.pins\(\) lists them"):
        db.release_pin(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="columns='rank' must be a list"):
        db.create_collection("w", dim=1).ingest([], columns="rank")
