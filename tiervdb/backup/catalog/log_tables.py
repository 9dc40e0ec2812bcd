"""The tables that come from the records of the log: commits and snapshots. Pure."""

from __future__ import annotations

import pyarrow as pa

from tiervdb.backup.catalog.facts import Facts, backups_of
from tiervdb.backup.catalog.log import LogContents
from tiervdb.backup.catalog.schema import TABLES
from tiervdb.engine import commit_log


def log_tables(contents: LogContents, found: Facts) -> dict[str, pa.Table]:
    """``snapshots``: also those that only backups tell of."""
    for backup in backups_of(found.known):
        for snapshot in backup.snapshots:
            contents.name(backup.timeline.id, snapshot)
    commits = commit_log.table([contents.commits[key] for key in sorted(contents.commits)])
    rows = [
        {
            "name": state.snapshot.name,
            "timeline": state.timeline,
            "seq": state.snapshot.seq,
            "time": state.snapshot.time_us,
            "created": state.snapshot.created_us,
            "expires": state.snapshot.expires_us,
            "dropped_seq": state.dropped_seq,
        }
        for state in sorted(contents.snapshots.values(), key=lambda s: (s.snapshot.created_us, s.snapshot.name))
    ]
    return {
        "commits": commits.cast(TABLES["commits"].schema),
        "snapshots": pa.Table.from_pylist(rows, schema=TABLES["snapshots"].schema),
    }
