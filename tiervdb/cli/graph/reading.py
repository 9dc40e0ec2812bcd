"""The picture's values, from a repository's catalog."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tiervdb.backup.catalog.duck import Tables
from tiervdb.cli.graph.values import (
    BackupNode,
    CopyNode,
    DrillNode,
    Edge,
    Gap,
    Graph,
    RestoreNode,
    Span,
    Timeline,
)

_BACKUPS = """
    select b.id, b.kind, b.label, b.timeline, b.seq, b.time, b.first_seq, b.created, b.seconds,
        coalesce(s.hot, 0)::bigint as hot_bytes, coalesce(s.cold, 0)::bigint as cold_bytes,
        coalesce(s.log, 0)::bigint as log_bytes, b.sent_bytes, b.files, b.listed, b.unlisted_reason as why_unlisted,
        h.reason as hold, coalesce(b."user", '') as user, coalesce(b.host, '') as host
    from backups b
    left join (
        select backup, sum(bytes) filter (where tier in ('hot', 'meta')) as hot,
            sum(bytes) filter (where tier = 'cold') as cold, sum(bytes) filter (where tier = 'log') as log
        from backup_objects group by backup
    ) s on s.backup = b.id
    left join (
        select b.id, any_value(h.reason) as reason from backups b
        join holds h on h.active and (h.backup = b.id or h.label = b.label) group by b.id
    ) h on h.id = b.id
    order by b.created, b.id
"""
_TIMELINES = """
    select timeline as id, database_id, parent, fork_seq, fork_time, created, fence_seq, current from timelines
    order by created
"""
_WINDOWS = "select timeline, first_seq, last_seq, first_time, last_time from restorable_windows"
_GAPS = """
    select timeline, first_seq, last_seq, after as first_time, coalesce(before, after) as last_time, why from gaps
"""
_PARTS = """
    select timeline, first_seq, last_seq, first_time, last_time from wal_files where kind = 'records'
    order by timeline, n
"""
_EDGES = (
    "select kind, parent_kind, parent, child_kind, child, seq, time from lineage where kind in ('reuses', 'snapshot')"
)
_RESTORES = """
    select id, coalesce(backup, '') as backup, coalesce(from_timeline, '') as from_timeline,
        coalesce(timeline, '') as timeline, coalesce(seq, 0) as seq, coalesce(time, started) as time, finished, seconds,
        attached, lazy, error
    from restores
"""
_DRILLS = """
    select id, finished, coalesce(timeline, '') as timeline, coalesce(seq, 0) as seq, coalesce(time, started) as time,
        coalesce(backup, '') as backup, ok, first_query_seconds, hydrated_seconds, rpo_seconds, recall,
        case when error is null then problems else list_append(problems, error) end as problems
    from drills
"""
_COPIES = "select id, target_url, finished, backups, bytes, seconds, error from copies"


def read(tables: Tables, url: str, now: datetime) -> Graph:
    """Everything that is known of the repository now."""

    def rows(query: str) -> Iterable[dict[str, Any]]:
        found: list[dict[str, Any]] = tables.sql(query).to_arrow_table().to_pylist()
        return found

    return Graph(
        url=url,
        generated=now,
        timelines=tuple(Timeline(**row) for row in rows(_TIMELINES)),
        windows=tuple(Span(**row) for row in rows(_WINDOWS)),
        gaps=tuple(Gap(**row) for row in rows(_GAPS)),
        log=tuple(_joined(Span(**row) for row in rows(_PARTS))),
        backups=tuple(BackupNode(**row) for row in rows(_BACKUPS)),
        edges=tuple(Edge(**row) for row in rows(_EDGES)),
        restores=tuple(RestoreNode(**row) for row in rows(_RESTORES)),
        drills=tuple(DrillNode(**{**row, "problems": tuple(row["problems"])}) for row in rows(_DRILLS)),
        copies=tuple(CopyNode(**row) for row in rows(_COPIES)),
    )


def _joined(parts: Iterable[Span]) -> list[Span]:
    """Parts that follow each other, as one."""
    found: list[Span] = []
    for part in parts:
        last = found[-1] if found else None
        if last is not None and last.timeline == part.timeline and last.last_seq + 1 == part.first_seq:
            found[-1] = Span(part.timeline, last.first_seq, part.last_seq, last.first_time, part.last_time)
        else:
            found.append(part)
    return found
