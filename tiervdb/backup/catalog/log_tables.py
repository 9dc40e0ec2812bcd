"""The tables that come from the records of the log: commits and snapshots. Pure."""

from __future__ import annotations

import pyarrow as pa

from tiervdb.backup.catalog.facts import Facts, backups_of
from tiervdb.backup.catalog.log import LogContents
from tiervdb.backup.catalog.schema import TABLES
from tiervdb.engine import commit_log


def log_tables(contents: LogContents, found: Facts) -> dict[str, pa.Table]:
    """``snapshots``: also those that only backups tell of."""
    commits = commit_log.table([contents.commits[key] for key in sorted(contents.commits)])
    told = [state for states in contents.names.values() for state in states]
    named = {(s.timeline, s.name, s.snapshot.seq): s.snapshot for s in told if s.snapshot is not None}
    for backup in backups_of(found.known):
        for snapshot in backup.snapshots:
            named.setdefault((backup.timeline.id, snapshot.name, snapshot.seq), snapshot)
    drops = sorted((s.seq, s.timeline, s.name) for s in told if s.snapshot is None)
    rows = [
        {
            "name": name,
            "timeline": timeline,
            "seq": seq,
            "time": snapshot.time_us,
            "created": snapshot.created_us,
            "expires": snapshot.expires_us,
            "dropped_seq": next((at for at, *whose in drops if whose == [timeline, name] and at > seq), None),
        }
        for (timeline, name, seq), snapshot in sorted(named.items(), key=lambda n: (n[1].created_us, n[0]))
    ]
    return {
        "commits": commits.cast(TABLES["commits"].schema),
        "snapshots": pa.Table.from_pylist(rows, schema=TABLES["snapshots"].schema),
    }
