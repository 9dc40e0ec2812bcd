"""The collections and snapshot names as of one seq, and how operations change them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import msgspec

from tiervdb.errors import AlreadyExistsError, CollectionNotFoundError, SchemaError, SnapshotNotFoundError
from tiervdb.format.manifest import Manifest, SnapshotName
from tiervdb.format.operations import (
    AddColumn,
    CreateCollection,
    CreateSnapshot,
    DropCollection,
    DropColumn,
    DropSnapshot,
    Operation,
    UpsertRows,
)
from tiervdb.types import CollectionSchema, Column


@dataclass(frozen=True)
class CatalogState:
    """Immutable. ``collections`` by id, ``snapshots`` by name."""

    collections: Mapping[int, CollectionSchema]
    snapshots: Mapping[str, SnapshotName]
    next_collection_id: int = 1

    @classmethod
    def of(cls, manifest: Manifest) -> CatalogState:
        return cls(
            MappingProxyType({c.id: c for c in manifest.collections}),
            MappingProxyType({s.name: s for s in manifest.snapshots}),
            manifest.next_collection_id,
        )

    def named(self, name: str) -> CollectionSchema:
        """The collection of that name, or CollectionNotFoundError."""
        found = next((c for c in self.collections.values() if c.name == name), None)
        if found is None:
            known = ", ".join(sorted(c.name for c in self.collections.values())) or "none"
            raise CollectionNotFoundError(f"there is no collection {name!r}; collections here: {known}")
        return found

    def numbered(self, collection: int) -> CollectionSchema:
        """The collection of that id, or CollectionNotFoundError."""
        if collection not in self.collections:
            raise CollectionNotFoundError(
                f"collection number {collection} does not exist (any more); it may have been dropped meanwhile"
            )
        return self.collections[collection]

    def snapshot(self, name: str) -> SnapshotName:
        """The snapshot of that name, or SnapshotNotFoundError."""
        if name not in self.snapshots:
            known = ", ".join(sorted(self.snapshots)) or "none"
            raise SnapshotNotFoundError(f"there is no snapshot {name!r}; snapshots here: {known}")
        return self.snapshots[name]

    def check_new_snapshot(self, name: str) -> None:
        """Raises AlreadyExistsError if the name is taken."""
        if name in self.snapshots:
            raise AlreadyExistsError(f"a snapshot {name!r} exists already; choose another name or drop it first")

    def with_collection(self, schema: CollectionSchema) -> CatalogState:
        return replace(self, collections=MappingProxyType({**self.collections, schema.id: schema}))

    def without_collection(self, collection: int) -> CatalogState:
        kept = {i: c for i, c in self.collections.items() if i != collection}
        return replace(self, collections=MappingProxyType(kept))


def apply(state: CatalogState, operation: Operation) -> CatalogState:
    """The state after one operation; operations on rows change nothing here.

    Raises AlreadyExistsError, CollectionNotFoundError, SnapshotNotFoundError or SchemaError where it does not fit.
    """
    match operation:
        case CreateCollection(schema):
            return _create(state, schema)
        case DropCollection(collection):
            return state.without_collection(state.numbered(collection).id)
        case AddColumn(collection, column):
            return state.with_collection(_add_column(state.numbered(collection), column))
        case DropColumn(collection, column_id):
            return state.with_collection(_drop_column(state.numbered(collection), column_id))
        case CreateSnapshot(snapshot):
            return _create_snapshot(state, snapshot)
        case DropSnapshot(name):
            return _drop_snapshot(state, name)
        case _:
            state.numbered(operation.collection)
            return state


def _create(state: CatalogState, schema: CollectionSchema) -> CatalogState:
    if any(c.name == schema.name for c in state.collections.values()):
        raise AlreadyExistsError(
            f"a collection {schema.name!r} exists already; use exist_ok=True, another name, or drop it first"
        )
    if schema.id != state.next_collection_id:
        raise SchemaError(f"collection {schema.name!r} has number {schema.id} where {state.next_collection_id} is next")
    return replace(state.with_collection(schema), next_collection_id=schema.id + 1)


def _add_column(schema: CollectionSchema, column: Column) -> CollectionSchema:
    if schema.column(column.name) is not None:
        raise SchemaError(f"collection {schema.name!r} has a column {column.name!r} already")
    if column.id != schema.next_column_id:
        raise SchemaError(f"column {column.name!r} has number {column.id} where {schema.next_column_id} is next")
    return msgspec.structs.replace(schema, columns=(*schema.columns, column), next_column_id=column.id + 1)


def _drop_column(schema: CollectionSchema, column_id: int) -> CollectionSchema:
    kept = tuple(c for c in schema.columns if c.id != column_id)
    if len(kept) == len(schema.columns):
        raise SchemaError(f"collection {schema.name!r} has no column number {column_id}")
    return msgspec.structs.replace(schema, columns=kept)


def _create_snapshot(state: CatalogState, snapshot: SnapshotName) -> CatalogState:
    state.check_new_snapshot(snapshot.name)
    return replace(state, snapshots=MappingProxyType({**state.snapshots, snapshot.name: snapshot}))


def _drop_snapshot(state: CatalogState, name: str) -> CatalogState:
    state.snapshot(name)
    return replace(state, snapshots=MappingProxyType({n: s for n, s in state.snapshots.items() if n != name}))


def number(state: CatalogState, operations: list[Operation]) -> list[Operation]:
    """Gives new collections and columns (id 0) their numbers, and rows of collection 0 that of the newest of these."""
    numbered: list[Operation] = []
    next_collection = state.next_collection_id
    next_column = {c.id: c.next_column_id for c in state.collections.values()}
    for operation in operations:
        match operation:
            case CreateCollection(schema) if schema.id == 0:
                numbered.append(CreateCollection(msgspec.structs.replace(schema, id=next_collection)))
                next_collection += 1
            case UpsertRows(0, batch, verb) if next_collection > state.next_collection_id:
                numbered.append(UpsertRows(next_collection - 1, batch, verb))
            case AddColumn(collection, column) if column.id == 0 and collection in next_column:
                numbered.append(AddColumn(collection, msgspec.structs.replace(column, id=next_column[collection])))
                next_column[collection] += 1
            case _:
                numbered.append(operation)
    return numbered
