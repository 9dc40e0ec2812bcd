"""The commit log: what commits did, kept when their WAL is gone. See docs/formats/commit_log.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tiervdb.format.envelope import damaged, deflate, inflate, seal, unseal
from tiervdb.format.paths import is_id
from tiervdb.format.wal_body import CollectionCounts, CommitBody, CreateCollectionOp, UpsertRowsOp, op_collection
from tiervdb.format.wal_header import RecordHeader

COMMIT_LOG_VERSION = 1
_MAGIC = b"TVCLOG"


class LoggedOperation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation. ``collection`` and ``name``: what the collection was called then; None for snapshot operations."""

    operation: str
    collection: int | None
    name: str | None


class LoggedCommit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A commit without its rows."""

    seq: int
    time_us: int
    write_id: bytes
    operations: tuple[LoggedOperation, ...]
    counts: tuple[CollectionCounts, ...]
    note: str | None = None


class CommitLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Consecutive commits of one shard on one timeline."""

    timeline: str
    shard: int
    commits: tuple[LoggedCommit, ...]


def summarize(header: RecordHeader, body: CommitBody, names: Mapping[int, str]) -> LoggedCommit:
    """What the log keeps of a record. ``names``: of collections by id, as before the commit."""
    known = dict(names)
    operations: list[LoggedOperation] = []
    for op in body.ops:
        if isinstance(op, CreateCollectionOp):
            known[op.schema.id] = op.schema.name
        what = op.verb if isinstance(op, UpsertRowsOp) else op.operation
        collection = op_collection(op)
        operations.append(LoggedOperation(what, collection, None if collection is None else known.get(collection)))
    return LoggedCommit(
        seq=header.seq,
        time_us=header.time_us,
        write_id=header.write_id,
        operations=tuple(operations),
        counts=body.counts,
        note=body.note,
    )


def encode(timeline: str, shard: int, commits: Sequence[LoggedCommit]) -> bytes:
    """Consecutive commits as the bytes of a log file."""
    log = CommitLog(timeline=timeline, shard=shard, commits=tuple(commits))
    return seal(_MAGIC, COMMIT_LOG_VERSION, deflate(msgspec.msgpack.encode(log)))


def decode(data: bytes | memoryview, name: str) -> CommitLog:
    """A log file. Raises CorruptionError or NewerFormatError naming ``name``."""
    raw = inflate(unseal(data, _MAGIC, COMMIT_LOG_VERSION, name), name)
    try:
        log = msgspec.msgpack.decode(raw, type=CommitLog)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(name, f"it is not a valid commit log ({error})") from error
    if not is_id(log.timeline):
        raise damaged(name, f"its timeline {log.timeline!r} is not an id")
    first = log.commits[0].seq if log.commits else 0
    if [commit.seq for commit in log.commits] != list(range(first, first + len(log.commits))):
        raise damaged(name, "its commits are not consecutive")
    return log
