"""The operations of a commit, as the engine holds them in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from tiervdb.format.manifest_entries import SnapshotName
from tiervdb.types import CollectionSchema, Column, RowBatch

Verb = Literal["upsert", "update"]


@dataclass(frozen=True)
class CreateCollection:
    schema: CollectionSchema


@dataclass(frozen=True)
class DropCollection:
    collection: int


@dataclass(frozen=True)
class AddColumn:
    collection: int
    column: Column


@dataclass(frozen=True)
class DropColumn:
    collection: int
    column: int


@dataclass(frozen=True)
class UpsertRows:
    """Whole rows. ``verb`` says which call wrote them; replay treats both alike."""

    collection: int
    batch: RowBatch
    verb: Verb = "upsert"


@dataclass(frozen=True)
class DeleteRows:
    collection: int
    ids: pa.Array


@dataclass(frozen=True)
class CreateSnapshot:
    snapshot: SnapshotName


@dataclass(frozen=True)
class DropSnapshot:
    name: str


Operation = (
    CreateCollection | DropCollection | AddColumn | DropColumn | UpsertRows | DeleteRows | CreateSnapshot | DropSnapshot
)
