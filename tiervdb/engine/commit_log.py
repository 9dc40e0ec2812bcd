"""What was committed when: read from the log, and from the headers that are kept when a log file goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from tiervdb.engine import wal
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import commit_log as fmt
from tiervdb.format import paths
from tiervdb.format.commit_log import LoggedCommit
from tiervdb.format.wal_record import peek
from tiervdb.storage.local_dir import LocalDir

KEPT_FILES = 64  # of headers; the oldest go first

_COUNTED = {"upsert": "upserted", "update": "upserted", "delete": "deleted", "drop collection": "deleted"}
_TABLE = pa.schema(
    [
        ("timeline", pa.string()),
        ("seq", pa.int64()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("collection", pa.string()),
        ("operation", pa.string()),
        ("upserted", pa.int64()),
        ("deleted", pa.int64()),
        ("note", pa.string()),
    ]
)


@dataclass(frozen=True)
class TimedCommit:
    """A commit of the log, and the timeline that it was made on."""

    timeline: str
    commit: LoggedCommit


def keep(local: LocalDir, shard: int, name: str, names: Mapping[int, str]) -> None:
    """Saves the headers of a sealed log file that is about to be deleted. ``names``: of collections by id."""
    file = wal.read_file(local, name, last=False, published_seq=0)
    if not file.scan.records or file.scan.header is None:
        return
    data = fmt.encode(file.scan.header.timeline, shard, list(summaries(file, file.last_seq, names)))
    local.write_volatile(paths.LogName(shard, file.first_seq, file.last_seq).name, data)
    for old in _kept(local, shard)[:-KEPT_FILES]:
        local.delete(old.name)


def read(local: LocalDir, shard: int, until: int, names: Mapping[int, str]) -> list[TimedCommit]:
    """All commits up to ``until`` that are still known, oldest first."""
    logged: dict[int, TimedCommit] = {}
    every = wal.file_names(local, shard)
    for name in every:
        try:
            file = wal.read_file(local, name, last=name == every[-1], published_seq=0)
        except ObjectNotFoundError:
            continue  # deleted since it was listed; its headers were kept before, so these are read afterwards
        timeline = "" if file.scan.header is None else file.scan.header.timeline
        logged |= {c.seq: TimedCommit(timeline, c) for c in summaries(file, until, names)}
    kept = {c.commit.seq: c for old in _kept(local, shard) for c in _read_kept(local, old.name)}
    found = {**kept, **logged}
    return [found[seq] for seq in sorted(found) if seq <= until]


def table(commits: list[TimedCommit]) -> pa.Table:
    """One row for each kind of operation on each collection in each commit."""
    return pa.Table.from_pylist([row for timed in commits for row in _rows(timed)], schema=_TABLE)


def _rows(timed: TimedCommit) -> Iterator[dict[str, object]]:
    commit = timed.commit
    counts = {c.collection: c for c in commit.counts}
    for operation in dict.fromkeys(commit.operations):
        count = counts.get(operation.collection) if operation.collection is not None else None
        counted = _COUNTED.get(operation.operation)
        yield {
            "timeline": timed.timeline,
            "seq": commit.seq,
            "time": commit.time_us,
            "collection": operation.name,
            "operation": operation.operation,
            "upserted": count.upserted if count is not None and counted == "upserted" else 0,
            "deleted": count.deleted if count is not None and counted == "deleted" else 0,
            "note": commit.note,
        }


def summaries(file: wal.WalFile, until: int, names: Mapping[int, str]) -> Iterator[LoggedCommit]:
    """What is kept of the commits of a log file."""
    for span in file.spans(0, until):
        yield fmt.summarize(span.header, peek(span.body(file.buffer), span.header, file.name), names)


def _kept(local: LocalDir, shard: int) -> list[paths.LogName]:
    parsed = (paths.parse_local(name) for name in local.list(paths.LOG_DIR))
    kept = [p for p in parsed if isinstance(p, paths.LogName) and p.shard == shard]
    return sorted(kept, key=lambda p: p.first_seq)


def _read_kept(local: LocalDir, name: str) -> list[TimedCommit]:
    """The kept commits of one file; none if it went or a power loss damaged it: a convenience, and never synced."""
    try:
        log = fmt.decode(local.read(name), str(local.path(name)))
    except (CorruptionError, ObjectNotFoundError):
        return []
    return [TimedCommit(log.timeline, commit) for commit in log.commits]
