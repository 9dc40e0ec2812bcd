"""What a search found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tiervdb.database.extras import pandas_frame, polars_frame
from tiervdb.format.ids import numpy_ids
from tiervdb.types import Distances

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

DOLLARS_A_GET = 0.4e-6

Ids = npt.NDArray[Any]  # int64, or objects that are str


@dataclass(frozen=True)
class SearchStats:
    """What a search did, over all its queries.

    ``seconds``: from the call to the answer. ``rows_scanned``: rows whose distance, exact or approximate, was computed.
    ``gets``, ``bytes``, ``waves``: requests to the cold store, what they brought, and how many rounds of parallel
    requests followed one another. ``cache_hits``: ranges that the local cache had. ``tiers``: where rows were looked
    for: memory, hot, cold. ``skipped``: what could not be reached, with ``on_unavailable="skip"``. ``segments``,
    ``rows``: how many of each tier there were to search. ``milliseconds``: by stage; stages that did not happen are
    left out. ``request_cost``: US dollars for the requests, at 0.40 for a million, S3's list price, traffic aside.
    """

    seconds: float = 0.0
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    segments: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    rows_scanned: int = 0
    gets: int = 0
    bytes: int = 0
    waves: int = 0
    cache_hits: int = 0
    tiers: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def request_cost(self) -> float:
        return self.gets * DOLLARS_A_GET


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of an answer. ``hit["name"]`` reads a column; ``id``, ``distance`` and ``query`` work there too."""

    query: int
    id: int | str
    distance: float
    columns: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """``query``, ``id``, ``distance`` or a column that was asked for; KeyError says which there are."""
        if name in {"query", "id", "distance"}:
            return getattr(self, name)
        if name not in self.columns:
            there = ", ".join(self.columns) or "none were asked for"
            raise KeyError(f"{name!r} is not in this hit; its columns: {there}. search(columns=[...]) asks for them")
        return self.columns[name]


class Hits:
    """The nearest rows of one query or of several, nearest first. Smaller distances are nearer.

    Iterating goes over the rows, ``len()`` counts them. ``hits[i]`` is row i; with several queries,
    the hits of query i.
    """

    def __init__(
        self,
        ids: pa.Array,
        distances: Distances,
        counts: tuple[int, ...],
        single: bool,
        columns: pa.Table | None = None,
        stats: SearchStats | None = None,
        explanation: str = "",
    ) -> None:
        self._ids = ids
        self._distances = distances
        self._counts = counts
        self._single = single
        self._columns = columns
        self.stats = stats or SearchStats()
        self.explanation = explanation  # what each segment did, one line each; empty without explain=True

    @cached_property
    def ids(self) -> Ids | list[Ids]:
        """The ids: an array for a query of shape ``(dim,)``, a list of one array a query for ``(q, dim)``."""
        ids = numpy_ids(self._ids)
        return ids if self._single else self._split(ids)

    @cached_property
    def distances(self) -> Distances | list[Distances]:
        """float32 distances in the shape of ``ids``: cosine 1 - cos, l2 squared, ip the negative inner product."""
        return self._distances if self._single else self._split(self._distances)

    @cached_property
    def table(self) -> pa.Table:
        """All rows as an Arrow table: query (0 for the first), id, distance, and the columns that were asked for."""
        queries = np.repeat(np.arange(len(self._counts), dtype=np.int64), self._counts)
        table = pa.table({"query": queries, "id": self._ids, "distance": self._distances})
        if self._columns is not None:
            for name in self._columns.column_names:
                table = table.append_column(name, self._columns.column(name))
        return table

    def to_pandas(self) -> pd.DataFrame:
        """The table as a pandas data frame."""
        return pandas_frame(self.table)

    def to_polars(self) -> pl.DataFrame:
        """The table as a polars data frame."""
        return polars_frame(self.table)

    def to_pylist(self) -> list[dict[str, Any]]:
        """The table as row dicts."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    def __len__(self) -> int:
        return len(self._distances)

    def __iter__(self) -> Iterator[Hit]:
        for row in self.to_pylist():
            yield Hit(row.pop("query"), row.pop("id"), row.pop("distance"), row)

    @overload
    def __getitem__(self, index: int) -> Hit | Hits: ...
    @overload
    def __getitem__(self, index: slice) -> list[Hit] | list[Hits]: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits | list[Hit] | list[Hits]:
        """Of a query of shape ``(dim,)`` one row; of ``(q, dim)`` the hits of one query."""
        if self._single:
            return self._rows[index]
        if isinstance(index, slice):
            return [self._of_query(number) for number in range(len(self._counts))[index]]
        return self._of_query(index)

    @cached_property
    def _rows(self) -> list[Hit]:
        return list(self)

    def _of_query(self, query: int) -> Hits:
        number = range(len(self._counts))[query]
        start = sum(self._counts[:number])
        count = self._counts[number]
        columns = None if self._columns is None else self._columns.slice(start, count)
        ids, distances = self._ids.slice(start, count), self._distances[start : start + count]
        return Hits(ids, distances, (count,), True, columns, self.stats, self.explanation)

    def __repr__(self) -> str:
        asked = "1 query" if self._single else f"{len(self._counts)} queries"
        nearest = ", ".join(f"{i!r}: {d:.4g}" for i, d in zip(self._ids[:5].to_pylist(), self._distances, strict=False))
        return f"<Hits of {asked}: {len(self)} rows [{nearest}{', ...' if len(self) > 5 else ''}]>"

    def _split(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        return np.split(values, np.cumsum(self._counts)[:-1]) if self._counts else []
