"""Golden queries: searches whose answers a backup's document names, so that a drill can ask them again."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tiervdb.engine.view import Place, View
from tiervdb.errors import TiervdbError
from tiervdb.format.columns import id_arrow_type
from tiervdb.format.repository_documents import GoldenQuery
from tiervdb.segment.request import SearchRequest
from tiervdb.types import CollectionSchema, Rows

QUERIES = 8  # of each collection
COLLECTIONS = 8  # the largest ones
NEIGHBOURS = 10
_log = logging.getLogger("tiervdb")
Ids = list[int | str]


@dataclass(frozen=True)
class Answer:
    """What a database says to a golden query now. ``recall``: of the search with defaults, against an exact one."""

    found: tuple[int | str, ...]
    recall: float


def choose(view: View, rng: random.Random) -> tuple[GoldenQuery, ...]:
    """Rows at random, and their neighbours as a search with defaults finds them. None where one fails."""
    chosen: list[GoldenQuery] = []
    try:
        for schema in _largest(view):
            place = _some(view, schema, rng)
            vectors = view.vectors(schema, place)
            outcome = view.search(schema, vectors, NEIGHBOURS)
            ids = [_ids(view, schema, Place(outcome.sources[q], outcome.rows[q])) for q in range(len(vectors))]
            own = _ids(view, schema, place)
            chosen += [
                GoldenQuery(collection=schema.id, id=id, neighbours=tuple(found))
                for id, found in zip(own, ids, strict=True)
            ]
    except TiervdbError as error:  # what is damaged, the backup itself finds and names
        _log.warning("the backup names no golden queries, for a search failed: %s", error)
    return tuple(chosen)


def ask(view: View, schema: CollectionSchema, queries: list[GoldenQuery]) -> dict[int | str, Answer]:
    """The answers of those whose rows are still there, by their ids."""
    ids = pa.array([query.id for query in queries], id_arrow_type(schema.id_type))
    place = view.locate(schema, ids)
    there = np.flatnonzero(place.sources >= 0)
    if not len(there):
        return {}
    vectors = view.vectors(schema, Place(place.sources[there], place.rows[there]))
    usual = view.search(schema, vectors, NEIGHBOURS)
    exact = view.search(schema, vectors, NEIGHBOURS, request=SearchRequest(exact=True))
    answers = {}
    for at, number in enumerate(there.tolist()):
        found = _ids(view, schema, Place(usual.sources[at], usual.rows[at]))
        right = _ids(view, schema, Place(exact.sources[at], exact.rows[at]))
        worst = exact.distances[at][: len(right)].max(initial=0.0)
        near = int(np.count_nonzero(usual.distances[at][: len(found)] <= worst * (1 + 1e-6) + 1e-6))
        answers[queries[number].id] = Answer(tuple(found), min(near, len(right)) / max(len(right), 1))
    return answers


def _largest(view: View) -> list[CollectionSchema]:
    schemas = [schema for schema in view.catalog.collections.values() if view.count(schema)]
    return sorted(schemas, key=lambda schema: (-view.count(schema), schema.id))[:COLLECTIONS]


def _some(view: View, schema: CollectionSchema, rng: random.Random) -> Place:
    """Live rows at random, of all sources by their size."""
    live = [_live(source.live(), source.rows) for source in view.sources(schema)]
    ends = np.cumsum([len(rows) for rows in live])
    wanted = sorted(rng.sample(range(int(ends[-1])), min(QUERIES, int(ends[-1]))))
    sources = np.searchsorted(ends, wanted, side="right")
    starts = ends - [len(rows) for rows in live]
    rows = [live[source][at - starts[source]] for source, at in zip(sources, wanted, strict=True)]
    return Place(sources.astype(np.int64), np.asarray(rows, np.int64))


def _live(mask: np.ndarray | None, rows: int) -> Rows:
    return np.arange(rows) if mask is None else np.flatnonzero(mask)


def _ids(view: View, schema: CollectionSchema, place: Place) -> Ids:
    """The ids at these places, in their order; places without a row are left out."""
    there = place.sources >= 0
    table = view.fetch(schema, Place(place.sources[there], place.rows[there]), (), vectors=False)
    found: Ids = table.column("id").to_pylist()
    return found
