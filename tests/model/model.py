"""What a database should hold, as plain dicts: every operation of the public API done the obvious way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tiervdb.database.database import Database

Id = int | str
Value = int | str | None
Vector = tuple[float, ...]
Predicate = Callable[[Id, "Row"], bool]


@dataclass(frozen=True)
class Row:
    """``columns``: without those that are null."""

    vector: Vector
    columns: Mapping[str, Value] = field(default_factory=dict)

    def with_columns(self, new: Mapping[str, Value]) -> Row:
        merged = {**self.columns, **new}
        return replace(self, columns={name: value for name, value in merged.items() if value is not None})


@dataclass(frozen=True)
class ModelCollection:
    """Rows by id; ``columns``: types by name."""

    dim: int
    metric: str
    id_type: str
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[Id, Row] = field(default_factory=dict)

    def upsert(self, rows: Mapping[Id, Row]) -> ModelCollection:
        return replace(self, rows={**self.rows, **rows})

    def update(self, ids: Sequence[Id], new: Mapping[str, Value]) -> ModelCollection:
        return self.upsert({i: self.rows[i].with_columns(new) for i in ids if i in self.rows})

    def delete(self, ids: Sequence[Id]) -> ModelCollection:
        return replace(self, rows={i: row for i, row in self.rows.items() if i not in set(ids)})

    def add_column(self, name: str, kind: str) -> ModelCollection:
        return replace(self, columns={**self.columns, name: kind})

    def drop_column(self, name: str) -> ModelCollection:
        rows = {i: replace(r, columns={c: v for c, v in r.columns.items() if c != name}) for i, r in self.rows.items()}
        return replace(self, columns={c: kind for c, kind in self.columns.items() if c != name}, rows=rows)

    def matching(self, predicate: Predicate | None) -> list[Id]:
        return [i for i, row in self.rows.items() if predicate is None or predicate(i, row)]

    def distances(self, query: Vector, predicate: Predicate | None = None) -> dict[Id, float]:
        """Of the rows that match, by the metric's definition in float64."""
        ids = self.matching(predicate)
        rows = np.array([self.rows[i].vector for i in ids], np.float64).reshape(len(ids), self.dim)
        q = np.array(query, np.float64)
        if self.metric == "l2":
            found = ((rows - q) ** 2).sum(axis=1)
        elif self.metric == "ip":
            found = -rows @ q
        else:
            found = 1 - rows @ q / (np.linalg.norm(rows, axis=1) * np.linalg.norm(q))
        return dict(zip(ids, found.tolist(), strict=True))


@dataclass(frozen=True)
class Model:
    """Immutable: each change gives a new one, so that every state of the past can be kept."""

    collections: Mapping[str, ModelCollection] = field(default_factory=dict)
    snapshots: Mapping[str, int] = field(default_factory=dict)  # name -> seq

    def set(self, name: str, collection: ModelCollection) -> Model:
        return replace(self, collections={**self.collections, name: collection})

    def drop(self, name: str) -> Model:
        return replace(self, collections={n: c for n, c in self.collections.items() if n != name})

    def add_snapshot(self, name: str, seq: int) -> Model:
        return replace(self, snapshots={**self.snapshots, name: seq})

    def drop_snapshot(self, name: str) -> Model:
        return replace(self, snapshots={n: s for n, s in self.snapshots.items() if n != name})


def shown(db: Database) -> Model:
    """What a database shows, through its public methods only."""
    return Model(
        {name: _shown_collection(db, name) for name in db.collections()}, {s.name: s.seq for s in db.snapshots()}
    )


def _shown_collection(db: Database, name: str) -> ModelCollection:
    collection = db[name]
    schema = collection.schema
    columns = {c.name: c.type for c in schema.columns}
    rows: dict[Id, Row] = {}
    for found in collection.scan(vectors=True).read_all().to_pylist():
        row_id, vector = found.pop("id"), tuple(found.pop("vector"))
        assert row_id not in rows, f"{name}: id {row_id!r} was scanned twice"
        rows[row_id] = Row(vector, {c: v for c, v in found.items() if v is not None})
    assert collection.count() == len(rows), f"{name}: {collection.count()} rows are counted, {len(rows)} are there"
    return ModelCollection(schema.dim, schema.metric, schema.id_type, columns, rows)


def assert_same(db: Database, expected: Model) -> None:
    """Every row, column, vector, schema and snapshot name."""
    actual = shown(db)
    assert sorted(actual.collections) == sorted(expected.collections)
    for name, collection in expected.collections.items():
        found = actual.collections[name]
        assert replace(found, rows={}) == replace(collection, rows={}), name
        missing, extra = set(collection.rows) - set(found.rows), set(found.rows) - set(collection.rows)
        assert not missing, f"{name}: rows {missing} are lost"
        assert not extra, f"{name}: rows {extra} should not be there"
        wrong = {i: (found.rows[i], row) for i, row in collection.rows.items() if found.rows[i] != row}
        assert not wrong, f"{name}: found and expected: {wrong}"
    assert actual.snapshots == expected.snapshots


def assert_nearest(
    db: Database, name: str, expected: ModelCollection, query: Vector, k: int, where: Where | None = None
) -> None:
    """The exact search finds k nearest rows (ties at will) with their right distances, in order."""
    predicate = where.matches if where else None
    truth = expected.distances(query, predicate)
    sql, params = (where.sql, where.params) if where else (None, None)
    hits = db[name].search(np.array(query, np.float32), k=k, where=sql, params=params, exact=True)
    ids, distances = list(hits.ids), hits.distances
    assert len(set(ids)) == len(ids) == min(k, len(truth)), (name, where, ids)
    assert np.all(np.diff(distances) >= 0)
    np.testing.assert_allclose(distances, [truth[i] for i in ids], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(distances, sorted(truth.values())[: len(ids)], rtol=1e-5, atol=1e-5)


@dataclass(frozen=True)
class Where:
    """A filter, as SQL and as Python."""

    sql: str
    params: list[Value]
    matches: Predicate


def rank_below(limit: int) -> Where:
    def matches(_: Id, row: Row) -> bool:
        rank = row.columns.get("rank")
        return isinstance(rank, int) and rank < limit

    return Where("rank < ?", [limit], matches)


def pos_is(value: str) -> Where:
    return Where("pos = ? or pos is null", [value], lambda _, row: row.columns.get("pos") in {value, None})


def id_in(ids: Sequence[Id]) -> Where:
    marks = ", ".join("?" for _ in ids)
    return Where(f"id in ({marks})", list(ids), lambda i, _: i in ids)
