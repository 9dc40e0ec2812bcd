from __future__ import annotations

import msgspec
import pytest

from tests.engine.values import NUMBERS, WORDS, batch, manifest, snapshot_name
from tiervdb.engine.catalog import CatalogState, apply, number
from tiervdb.errors import AlreadyExistsError, CollectionNotFoundError, SchemaError, SnapshotNotFoundError, TiervdbError
from tiervdb.format.operations import (
    AddColumn,
    CreateCollection,
    CreateSnapshot,
    DeleteRows,
    DropCollection,
    DropColumn,
    DropSnapshot,
    Operation,
    UpsertRows,
)
from tiervdb.types import CollectionSchema, Column

START = CatalogState.of(manifest())
NEW = CollectionSchema(id=0, name="new", dim=2, metric="ip", id_type="int64")
LANG = Column(id=0, name="lang", type="string")


def after(*operations: Operation) -> CatalogState:
    state = START
    for operation in number(START, list(operations)):
        state = apply(state, operation)
    return state


def test_it_starts_as_the_manifest_says() -> None:
    names = (snapshot_name("one"),)
    state = CatalogState.of(manifest(snapshots=names))
    assert dict(state.collections) == {1: WORDS, 2: NUMBERS}
    assert dict(state.snapshots) == {"one": names[0]}
    assert state.next_collection_id == 3


def test_collections_come_and_go_and_numbers_never_come_back() -> None:
    state = after(CreateCollection(NEW), DropCollection(3), CreateCollection(NEW))
    assert (sorted(state.collections), state.next_collection_id) == ([1, 2, 4], 5)
    assert state.named("new").id == 4
    assert dict(START.collections) == {1: WORDS, 2: NUMBERS}


def test_columns_come_and_go_and_numbers_never_come_back() -> None:
    other = msgspec.structs.replace(LANG, name="other")
    schema = after(AddColumn(1, LANG), AddColumn(1, other), DropColumn(1, 3), AddColumn(2, LANG)).numbered(1)
    assert [(c.id, c.name) for c in schema.columns] == [(1, "rank"), (2, "pos"), (4, "other")]
    assert schema.next_column_id == 5


def test_snapshots_come_and_go() -> None:
    state = after(CreateSnapshot(snapshot_name("a")), CreateSnapshot(snapshot_name("b")), DropSnapshot("a"))
    assert list(state.snapshots) == ["b"]
    assert state.snapshot("b").name == "b"


def test_rows_change_nothing_here() -> None:
    assert after(UpsertRows(1, batch(["a"])), DeleteRows(1, batch(["a"]).ids)) == START


@pytest.mark.parametrize(
    ("operation", "error", "named"),
    [
        (CreateCollection(msgspec.structs.replace(NEW, name="words")), AlreadyExistsError, "words"),
        (CreateCollection(msgspec.structs.replace(NEW, id=2)), SchemaError, "3"),
        (CreateCollection(msgspec.structs.replace(NEW, id=9)), SchemaError, "3"),
        (DropCollection(3), CollectionNotFoundError, "3"),
        (UpsertRows(3, batch(["a"])), CollectionNotFoundError, "3"),
        (DeleteRows(3, batch(["a"]).ids), CollectionNotFoundError, "3"),
        (AddColumn(1, msgspec.structs.replace(LANG, name="rank")), SchemaError, "rank"),
        (AddColumn(1, msgspec.structs.replace(LANG, id=2)), SchemaError, "3"),
        (AddColumn(7, LANG), CollectionNotFoundError, "7"),
        (DropColumn(1, 3), SchemaError, "3"),
        (DropColumn(7, 1), CollectionNotFoundError, "7"),
        (DropSnapshot("a"), SnapshotNotFoundError, "a"),
    ],
)
def test_what_does_not_fit_is_refused(operation: Operation, error: type[TiervdbError], named: str) -> None:
    with pytest.raises(error, match=named):
        after(operation)


def test_a_snapshot_name_is_taken_once() -> None:
    with pytest.raises(AlreadyExistsError, match="a"):
        after(CreateSnapshot(snapshot_name("a")), CreateSnapshot(snapshot_name("a", n=51)))
    after(CreateSnapshot(snapshot_name("a")), DropSnapshot("a"), CreateSnapshot(snapshot_name("a", n=51)))


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(CollectionNotFoundError, match=r"'word'; collections here: numbers, words"):
        START.named("word")
    with pytest.raises(SnapshotNotFoundError, match="snapshots here: none"):
        START.snapshot("a")
