"""Several writes, also to several collections, as one commit."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from tiervdb.database.filters import Params
from tiervdb.database.inputs.ids import IdValues
from tiervdb.database.inputs.rows import ColumnValues
from tiervdb.database.session import Session, named
from tiervdb.database.writes import Build, choose, deletion, update, upsertion, whole_rows
from tiervdb.engine.view import View
from tiervdb.errors import InvalidInputError, StateError
from tiervdb.format.operations import Operation
from tiervdb.types import CollectionSchema, Commit


@dataclass(frozen=True)
class _Step:
    schema: CollectionSchema
    build: Build
    reads: bool  # whether what it writes depends on the rows that are there


class Batch:
    """Collects writes and commits them together when its ``with`` block ends; if that raises, nothing is written.

    The writes take effect in the order of the calls. ``update`` and ``where=`` see the state before the batch, not what
    the batch has collected, and may concern one collection; ``upsert`` and ``delete(ids=)`` any number of collections.
    """

    def __init__(self, session: Session, note: str | None) -> None:
        self._session = session
        self._note = note
        self._steps: list[_Step] = []
        self._entered = False
        self._done = False
        self.commit: Commit | None = None  # what the batch did, once its block has ended

    def __getitem__(self, name: str) -> BatchCollection:
        """The collection to write to; CollectionNotFoundError."""
        return BatchCollection(self, named(self._session.catalog(), name))

    def __enter__(self) -> Batch:
        self._session.shard("write")
        self._entered = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._done = True
        if kind is None:
            self.commit = self._commit()

    def add(self, schema: CollectionSchema, build: Build, reads: bool) -> None:
        """Collects one write."""
        if not self._entered:
            raise StateError("a batch writes when its with block ends: use it as `with db.batch() as b:`")
        if self._done:
            raise StateError("the batch has ended; start another one with db.batch()")
        read = {step.schema.id: step.schema.name for step in self._steps if step.reads}
        if reads and read and schema.id not in read:
            raise InvalidInputError(
                f"batch: update and where= were used on {next(iter(read.values()))!r}, so that they cannot be used on "
                f"{schema.name!r} too; write its rows by id, or in a batch of their own"
            )
        self._steps.append(_Step(schema, build, reads))

    def _commit(self) -> Commit:
        if not self._steps:
            raise InvalidInputError("batch: nothing was written in it; leave it out when there is nothing to write")
        shard = self._session.shard("write")
        reading = next((step.schema for step in self._steps if step.reads), None)
        if reading is None:
            return shard.commit(self._operations(shard.view(), None), self._note)
        return shard.commit_where(self._operations, reading, self._note)

    def _operations(self, view: View, only: pa.Array | None) -> list[Operation]:
        return [operation for step in self._steps for operation in step.build(view, only)]


class BatchCollection:
    """A collection inside a batch: its calls check their arguments at once and write when the batch ends."""

    def __init__(self, batch: Batch, schema: CollectionSchema) -> None:
        self._batch = batch
        self._schema = schema

    def upsert(
        self,
        rows: Any = None,
        /,
        *,
        ids: IdValues | None = None,
        vectors: npt.ArrayLike | None = None,
        columns: ColumnValues = None,
        id: str | None = None,
        vector: str | None = None,
    ) -> None:
        """As ``Collection.upsert``."""
        batch = whole_rows(rows, ids, vectors, columns, id, vector, self._schema)
        self._batch.add(self._schema, upsertion(batch, self._schema), reads=False)

    def update(
        self, *, columns: ColumnValues, ids: IdValues | None = None, where: str | None = None, params: Params = None
    ) -> None:
        """As ``Collection.update``, of the rows as they were before the batch."""
        chosen = choose(ids, where, params, self._schema, "update", unique=True)
        self._batch.add(self._schema, update(chosen, columns, self._schema), reads=True)

    def delete(self, *, ids: IdValues | None = None, where: str | None = None, params: Params = None) -> None:
        """As ``Collection.delete``; ``where`` finds the rows that were there before the batch."""
        chosen = choose(ids, where, params, self._schema, "delete", unique=False)
        self._batch.add(self._schema, deletion(chosen), reads=ids is None)
