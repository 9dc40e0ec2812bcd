"""What a database tells about itself: its log, its status, its numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.database.inputs.names import hint
from tiervdb.database.inputs.times import to_time_us
from tiervdb.database.session import Session
from tiervdb.database.values import CollectionStats, Stats, Status
from tiervdb.engine import pins, store_record
from tiervdb.engine.source import SegmentSource, Source
from tiervdb.engine.view import View
from tiervdb.errors import CollectionNotFoundError, InvalidInputError
from tiervdb.types import CollectionSchema, to_datetime

Bound = int | datetime | str | None


def log(session: Session, since: Bound, until: Bound, collection: str | None) -> pa.Table:
    """See Database.log."""
    table = session.log()
    if collection is not None:
        known = {*session.view().collections(), *table.column("collection").to_pylist()} - {None}
        if collection not in known:
            raise CollectionNotFoundError(f"log: there is no collection {collection!r}; {hint(str(collection), known)}")
        table = table.filter(pc.equal(table.column("collection"), collection))
    table = _bounded(table, since, "since", pc.greater_equal)
    return _bounded(table, until, "until", pc.less_equal)


def status(session: Session) -> Status:
    """See Database.status."""
    view, env = session.view(), session.env
    protection = session.protection
    shipped = None if protection is None or protection.mode == "off" else protection.shipped()
    return Status(
        path=str(session.path),
        database_id=session.identity.database_id,
        timeline=session.identity.timeline.id,
        mode="read-write" if session.read_only is None else "read-only",
        seq=view.seq,
        time=to_datetime(view.time_us),
        cold_url=env.opener.store.url,
        single_writer=_single_writer(session),
        protection=_protection(session),
        repository_url=None if session.repository is None else session.repository.url,
        archived_seq=None if shipped is None else shipped.seq,
        archive_lag=None if shipped is None else shipped.lag_seconds,
        missing_bytes=0 if session.hydrator is None else session.hydrator.missing_bytes,
        snapshots=len(view.catalog.snapshots),
        pins=len(pins.listed(env.local, env.shard)),
        background=_background(session),
        collections=tuple(view.collections()),
    )


def _protection(session: Session) -> str:
    protection = session.protection
    if protection is None:
        return "unprotected" if session.repository is None else "by its writer"
    failure = protection.shipped().failure
    return protection.mode if failure is None else f"{protection.mode}, failing: {failure}"


def stats(session: Session) -> Stats:
    """See Database.stats."""
    view = session.view()
    each = tuple(_collection_stats(view, view.schema(name)) for name in view.collections())
    return Stats(
        rows=sum(c.rows for c in each),
        local_bytes=sum(c.local_bytes for c in each),
        cold_bytes=sum(c.cold_bytes for c in each),
        collections=each,
        searches=session.searches.totals(),
    )


def _bounded(
    table: pa.Table, bound: Bound, name: str, keep: Callable[[pa.ChunkedArray, pa.Scalar], pa.Array]
) -> pa.Table:
    if bound is None:
        return table
    if isinstance(bound, bool):
        raise InvalidInputError(f"log: {name}={bound!r} is neither a seq nor a time")
    if isinstance(bound, int):
        return table.filter(keep(table.column("seq"), pa.scalar(bound, pa.int64())))
    time = pa.scalar(to_time_us(bound, f"log: {name}"), pa.timestamp("us", tz="UTC"))
    return table.filter(keep(table.column("time"), time))


def _single_writer(session: Session) -> bool | None:
    if session.identity.cold_url is None:
        return False
    if session.read_only is None:
        known = session.shard("tell its status").core.env.cold.single_writer
        if known is not None:
            return known
    return store_record.single_writer(session.env.opener.store)


def _background(session: Session) -> str | None:
    """Why the last background work failed, if it did."""
    if session.read_only is not None:
        return None
    failure = session.shard("tell its status").background_failure
    return None if failure is None else f"{type(failure).__name__}: {failure}"


def _collection_stats(view: View, schema: CollectionSchema) -> CollectionStats:
    sources = view.sources(schema)
    segments = [s for s in sources if isinstance(s, SegmentSource)]
    hot = [s for s in segments if s.segment.entry.tier == "hot"]
    cold = [s for s in segments if s.segment.entry.tier == "cold"]
    files = [f for s in segments for f in s.segment.entry.files.values()]
    objects = [f for s in segments for f in s.segment.entry.objects.values()]
    return CollectionStats(
        name=schema.name,
        dim=schema.dim,
        metric=schema.metric,
        id_type=schema.id_type,
        rows=view.count(schema),
        memory_rows=sum(_live(s) for s in sources if not isinstance(s, SegmentSource)),
        hot_rows=sum(_live(s) for s in hot),
        cold_rows=sum(_live(s) for s in cold),
        dead_rows=sum(s.rows - _live(s) for s in sources),
        hot_segments=len(hot),
        cold_segments=len(cold),
        sketches=sum("sketch" in {**s.segment.entry.files, **s.segment.entry.objects} for s in segments),
        graphs=sum("graph" in s.segment.entry.files for s in segments),
        local_bytes=sum(f.size for f in files),
        cold_bytes=sum(f.size for f in objects),
    )


def _live(source: Source) -> int:
    mask = source.live()
    return source.rows if mask is None else int(np.count_nonzero(mask))
