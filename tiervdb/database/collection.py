"""A collection: rows in, rows out, search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex, cast

import numpy.typing as npt
import pyarrow as pa

from tiervdb.database.arguments import check_note
from tiervdb.database.filters import Params, to_filter
from tiervdb.database.hits import Hits
from tiervdb.database.ingest import Progress, ingest
from tiervdb.database.inputs.ids import IdValues, to_ids
from tiervdb.database.inputs.rows import ColumnValues, known_column
from tiervdb.database.inputs.schemas import ColumnType, new_column
from tiervdb.database.reads import row_reader
from tiervdb.database.search import OnUnavailable, SearchOptions, search
from tiervdb.database.selection import ALL, ColumnNames, select
from tiervdb.database.session import Session, numbered
from tiervdb.database.values import IngestResult
from tiervdb.database.writes import choose, deletion, update, whole_rows
from tiervdb.errors import CollectionNotFoundError
from tiervdb.format.operations import AddColumn, DropColumn, UpsertRows
from tiervdb.types import CollectionSchema, Commit, Tier


class Collection:
    """A collection of one database, from ``db["name"]``. Thread-safe; every call sees the newest commit.

    Every method raises ClosedError after ``db.close()``, ForkedError in a forked child and CollectionNotFoundError once
    the collection was dropped; writes raise ReadOnlyError where the database was opened for reading.
    """

    def __init__(self, session: Session, name: str, number: int) -> None:
        self._session = session
        self._name = name
        self._number = number

    # -- what it is

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._name

    @property
    def schema(self) -> CollectionSchema:
        """Dimension, metric, id type and columns."""
        return numbered(self._session.catalog(), self._name, self._number)

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, id: object) -> bool:
        """Whether there is a row of this id."""
        return len(self.get(cast(IdValues, [id]), columns=[])) == 1

    def __repr__(self) -> str:
        if self._session.closed:
            return f"<Collection {self._name!r} of a closed database>"
        try:
            schema = self.schema
        except CollectionNotFoundError:
            return f"<Collection {self._name!r}, dropped>"
        return f"<Collection {self._name!r}: {len(self)} rows, dim {schema.dim}, {schema.metric}, {schema.id_type} ids>"

    def add_column(self, name: str, type: ColumnType, *, stored: bool = False) -> Commit:
        """Adds a column, null in every row so far.

        ``type``: bool, int8 to int64, uint8 to uint64, float32, float64, string, timestamp[us], timestamp[us, UTC],
        list<string>, or int, float, str; a pyarrow type works too. ``stored``: kept in Parquet only once cold, and not
        usable in filters: for long text. Raises SchemaError.
        """
        schema = self.schema
        return self._session.shard("add a column").commit(
            [AddColumn(schema.id, new_column(name, type, stored, schema))]
        )

    def drop_column(self, name: str) -> Commit:
        """Drops a column and its values. Raises SchemaError if there is none of that name."""
        schema = self.schema
        column = known_column(name, schema, "drop_column")
        return self._session.shard("drop a column").commit([DropColumn(schema.id, column.id)])

    # -- writing

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
        note: str | None = None,
    ) -> Commit:
        """Inserts rows, or replaces those of the same ids wholly, as one durable commit.

        Either arrays: ``ids`` (n), ``vectors`` (n, dim) and ``columns``, a dict of column names to n values each (or
        one value for all) or a list of n row dicts. Or ``rows``: a pandas or polars data frame, an Arrow table, a
        DuckDB relation or a list of row dicts, whose columns ``id`` and ``vector`` name ids and vectors (else "id",
        and "vector" or the only list of numbers). Columns that are not given become null.

        Vectors are kept as float32, bit for bit as given. Raises InvalidInputError (wrong shape, NaN, zero vectors
        under cosine, ids that repeat, no rows) or SchemaError (unknown column, wrong type) before anything is written.
        """
        schema = self.schema
        shard = self._session.shard("upsert")
        batch = whole_rows(rows, ids, vectors, columns, id, vector, schema)
        return shard.commit([UpsertRows(schema.id, batch)], check_note(note))

    def update(
        self,
        *,
        columns: ColumnValues,
        ids: IdValues | None = None,
        where: str | None = None,
        params: Params = None,
        note: str | None = None,
    ) -> Commit:
        """Gives columns new values, and keeps the vectors and all other columns.

        Of the rows of ``ids``: a value for each id, or one for all; ids that do not exist are passed over. Or of the
        rows that match ``where``: one value for all. ``Commit.upserted`` counts the rows. Reads the rows, cold ones
        from the cold store. Raises InvalidInputError, SchemaError or FilterError before anything is written.
        """
        schema = self.schema
        shard = self._session.shard("update")
        chosen = choose(ids, where, params, schema, "update", unique=True)
        return shard.commit_where(update(chosen, columns, schema), schema, check_note(note))

    def delete(
        self, *, ids: IdValues | None = None, where: str | None = None, params: Params = None, note: str | None = None
    ) -> Commit:
        """Deletes the rows of ``ids``, or those that match ``where``; ``Commit.deleted`` counts them.

        Ids that do not exist are passed over. Raises InvalidInputError or FilterError before anything is written.
        """
        schema = self.schema
        shard = self._session.shard("delete")
        chosen = choose(ids, where, params, schema, "delete", unique=False)
        check_note(note)
        if chosen.ids is not None:
            return shard.commit(deletion(chosen)(shard.view(), None), note)
        return shard.commit_where(deletion(chosen), schema, note)

    def ingest(
        self,
        source: Any,
        *,
        id: Any = None,
        vector: str | None = None,
        columns: Sequence[str] | None = None,
        tier: Tier = "hot",
        resume: str | None = None,
        progress: Progress | None = None,
    ) -> IngestResult:
        """Upserts a large source in many commits and bounded memory.

        ``source``: the path of a Parquet, Arrow IPC or ``.npy`` file, an Arrow reader or anything that streams Arrow, a
        numpy array or memory map ``(n, dim)``, or an iterator of tables or of ``(ids, vectors)`` or ``(ids, vectors,
        columns)``. ``id`` and ``vector`` name its columns; for arrays ``id`` is an array of n ids (else the row
        numbers). ``columns``: which of its other columns to load; None: all.

        ``tier="cold"``: rows go to the cold store while the load runs, a few 100,000 at a time, without the indexes
        that only hot rows need; all are there when it returns, and local disk holds two such parts at most. Rows that
        others write to the collection meanwhile go with them.

        ``resume``: a name for this load. Each commit notes it with the number of rows done, so that calling again with
        the same name and source after a crash goes on where it stopped; readers and iterators are read again up to
        there. No row is left out, and none is there twice. Another source under the name raises InvalidInputError: a
        file of another size or time of change, an array of another shape, a stream with other columns, or any whose
        last loaded row is another.
        ``progress(done, total)`` is called after every commit; total is None where the source does not tell.
        Raises what upsert raises; rows of earlier commits stay. For the cold tier also StoreUnavailableError or
        StoreRefusedError, and StateError while another load of the collection goes there.
        """
        return ingest(self._session, self.schema, source, id, vector, columns, tier, resume, progress)

    # -- reading

    def count(self, where: str | None = None, params: Params = None) -> int:
        """How many rows there are, or match. Raises FilterError."""
        view = self._session.view()
        schema = numbered(view.catalog, self._name, self._number)
        return view.count(schema, to_filter(where, params, schema))

    def get(self, ids: IdValues, columns: ColumnNames = None, vectors: bool = False) -> pa.Table:
        """The rows of these ids as an Arrow table, in the order asked; ids that do not exist are left out.

        Columns: id, those of ``columns`` (None or "*": all), and with ``vectors`` the vector, a list of float32.
        Raises InvalidInputError for ids of a wrong type, SchemaError for an unknown column.
        """
        view = self._session.view()
        schema = numbered(view.catalog, self._name, self._number)
        selection = select(ALL if columns is None else columns, schema, "get: columns", vectors)
        wanted = to_ids(ids, schema.id_type, "get: ids", unique=False)
        return view.get(schema, wanted, selection.columns, selection.vectors)

    def scan(
        self,
        where: str | None = None,
        params: Params = None,
        columns: ColumnNames = None,
        vectors: bool = False,
    ) -> pa.RecordBatchReader:
        """All rows, or those that match, as a stream of Arrow record batches over one consistent state.

        Later writes do not change what the stream gives. Columns as in ``get``; rows come in no particular order.
        Raises FilterError and SchemaError at once; while it is read, StorageError or CorruptionError.
        """
        view = self._session.view()
        schema = numbered(view.catalog, self._name, self._number)
        selection = select(ALL if columns is None else columns, schema, "scan: columns", vectors)
        return row_reader(self._session, view, schema, to_filter(where, params, schema), selection)

    def search(
        self,
        x: npt.ArrayLike,
        k: SupportsIndex = 10,
        *,
        where: str | None = None,
        params: Params = None,
        columns: ColumnNames = None,
        ef: int | None = None,
        nprobe: int | None = None,
        rerank: int | None = None,
        exact: bool = False,
        explain: bool = False,
        on_unavailable: OnUnavailable = "raise",
    ) -> Hits:
        """The k nearest rows: of one query of shape ``(dim,)``, or of each of ``(q, dim)``.

        ``where``: an SQL expression over the columns and ``id``, with ``params`` for its ``?``; k rows come back if k
        match. ``columns``: which to bring along ("*": all); none unless asked. ``exact``: compare every row. ``ef``
        uses the graph, ``nprobe`` (lists) and ``rerank`` (candidates compared by their full vectors) the sketch; larger
        is slower and finds more; a segment without what is asked for chooses by itself. ``rerank=0``: approximate
        distances. ``explain``: fills ``hits.explanation``.
        ``on_unavailable="skip"``: answer without segments whose store is away; ``hits.stats.skipped`` names them.

        Smaller distances are nearer: cosine 1 - cos, l2 squared, ip the negative inner product. Fewer than k rows come
        back only if fewer match. Raises InvalidInputError, FilterError, SchemaError, StoreUnavailableError.
        """
        options = SearchOptions(ef, nprobe, rerank, exact, explain, on_unavailable)
        view = self._session.view()
        schema = numbered(view.catalog, self._name, self._number)
        hits = search(view, schema, x, k, where, params, columns, options, self._session.clock)
        self._session.searches.add(hits.stats)
        return hits
