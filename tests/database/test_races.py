"""Writes that depend on rows which change between reading them and committing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tiervdb
from tests.database.conftest import DIM
from tiervdb.engine.view import View
from tiervdb.errors import CollectionNotFoundError, SchemaError

Arrange = Callable[[Callable[[], object]], None]
X = np.ones((1, DIM), np.float32)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Arrange:
    """Has something happen after the next look-up of rows and before its commit."""

    def arrange(action: Callable[[], object]) -> None:
        pending = [action]

        def then(looked_up: Any) -> Any:
            if pending:
                pending.pop()()
            return looked_up

        for name in ("matching_ids", "locate"):
            real = getattr(View, name)
            monkeypatch.setattr(View, name, lambda *a, real=real, **k: then(real(*a, **k)))

    return arrange


def test_a_deletion_sees_rows_that_began_or_ceased_to_match(words: tiervdb.Collection, meanwhile: Arrange) -> None:
    def change() -> None:
        words.update(columns={"rank": 1000}, ids=["w1"])  # no longer matches
        words.update(columns={"rank": 2}, ids=["w200"])  # matches now
        words.upsert(ids=["new"], vectors=X, columns={"rank": 3})  # matches too

    meanwhile(change)
    assert words.delete(where="rank < 10").deleted == 11
    assert "w1" in words
    assert "w200" not in words
    assert "new" not in words


def test_an_update_keeps_what_was_written_meanwhile(words: tiervdb.Collection, meanwhile: Arrange) -> None:
    meanwhile(lambda: words.upsert(ids=["w1"], vectors=X, columns={"pos": "verb"}))
    words.update(columns={"rank": 77}, ids=["w1", "w2"])
    assert words.get(["w1"], columns=["rank", "pos", "vector"]).to_pylist() == [
        {"id": "w1", "rank": 77, "pos": "verb", "vector": X[0].tolist()}
    ]
    assert words.get(["w2"])["rank"].to_pylist() == [77]


def test_an_update_does_not_bring_deleted_rows_back(words: tiervdb.Collection, meanwhile: Arrange) -> None:
    meanwhile(lambda: words.delete(ids=["w1"]))
    assert words.update(columns={"rank": 77}, where="rank < 3").upserted == 2
    assert "w1" not in words


def test_rows_that_were_flushed_meanwhile(db: tiervdb.Database, words: tiervdb.Collection, meanwhile: Arrange) -> None:
    def change() -> None:
        words.update(columns={"rank": 1000}, ids=["w1"])
        db.flush()

    meanwhile(change)
    assert words.delete(where="rank < 10").deleted == 9
    assert "w1" in words


@pytest.mark.parametrize("id_type", ["string", "int64"])
def test_a_batch_is_built_again_only_where_it_must(
    db: tiervdb.Database, words: tiervdb.Collection, meanwhile: Arrange, id_type: str
) -> None:
    tags = db.create_collection("tags", dim=1, id_type=id_type)
    ids = ["w1", "t"] if id_type == "string" else [1, 2]
    meanwhile(lambda: words.update(columns={"rank": 1000}, ids=["w1"]))
    with db.batch() as b:
        b["words"].delete(where="rank < 10")
        b["words"].upsert(ids=["w1", "w2", "w0"], vectors=np.repeat(X, 3, axis=0), columns={"pos": "again"})
        b["words"].delete(ids=["w0"])
        b["tags"].upsert(ids=ids, vectors=[[1], [2]])
    assert sorted(words.scan("rank < 10 or rank is null").read_all()["id"].to_pylist()) == ["w1", "w2"]
    assert words.count("pos = 'again'") == 2
    assert len(words) == 300 - 10 + 2
    assert len(tags) == 2


def test_a_column_that_was_dropped_meanwhile(words: tiervdb.Collection, meanwhile: Arrange) -> None:
    meanwhile(lambda: words.drop_column("pos"))
    words.update(columns={"rank": 77}, where="rank < 3")
    assert words.get("w1").column_names == ["id", "rank", "seen", "tags"]
    with pytest.raises(SchemaError):
        words.update(columns={"pos": "x"}, where="rank < 3")


def test_a_collection_that_was_replaced_meanwhile(
    db: tiervdb.Database, words: tiervdb.Collection, meanwhile: Arrange
) -> None:
    def change() -> None:
        db.drop_collection("words")
        db.create_collection("words", dim=DIM, columns={"rank": "int64"}).upsert(
            ids=["w1"], vectors=X, columns={"rank": 1}
        )

    meanwhile(change)
    with pytest.raises(CollectionNotFoundError):
        words.delete(where="rank < 10")
    assert len(db["words"]) == 1
