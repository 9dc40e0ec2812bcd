"""The log of a restored database, against what the repository says of it: running hashes, and rows of collections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from tiervdb.backup.holdings import Holdings, Stretch, log_of, on_history, shard_of, stretches
from tiervdb.backup.log_reader import LogReader
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.engine import log_files
from tiervdb.engine.log_files import Record
from tiervdb.format.manifest import Manifest
from tiervdb.format.repository_documents import BackupDocument
from tiervdb.format.wal_body import CreateCollectionOp, DropCollectionOp, op_collection
from tiervdb.format.wal_header import RECORD_HEADER_LENGTH
from tiervdb.format.wal_record import chain_next, peek
from tiervdb.storage.local_dir import LocalDir


@dataclass
class Ledger:
    """Rows of each collection by its id, and the last commit that was about it, as a manifest and the log tell."""

    rows: dict[int, int]
    touched: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Ledger:
        rows = {schema.id: 0 for schema in manifest.collections}
        for segment in manifest.segments:
            rows[segment.collection] += segment.live
        return cls(rows)

    def note(self, record: Record) -> None:
        """Goes on by one commit. CorruptionError."""
        header, data = record
        meta = peek(data[RECORD_HEADER_LENGTH:], header, f"commit {header.seq}")
        for op in meta.ops:
            collection = op_collection(op)
            if collection is not None:
                self.touched[collection] = header.seq
            if isinstance(op, CreateCollectionOp):
                self.rows[op.schema.id] = 0
            elif isinstance(op, DropCollectionOp):
                self.rows.pop(op.collection, None)
        self.rows |= {count.collection: count.live for count in meta.counts if count.collection in self.rows}

    def untouched_since(self, seq: int) -> frozenset[int]:
        """The collections that no commit after ``seq`` was about."""
        return frozenset(collection for collection in self.rows if self.touched.get(collection, 0) <= seq)


@dataclass(frozen=True)
class LogTold:
    """What the restored log told. ``ledger``: at its end. ``then``: rows by collection at the commit of the plan's
    backup, or None where that is of another history.

    ``problems``: where a running hash is not the one that the repository has there.
    """

    ledger: Ledger
    then: Mapping[int, int] | None
    problems: tuple[str, ...]


def passes(plan: RestorePlan) -> bool:
    """Whether the state that the plan's backup holds is one that the history of its point went through.

    Otherwise only the manifest of the backup is, and its own commit comes later or on another timeline.
    """
    return shard_of(plan.backup).seq <= min(plan.seq, _high(plan))


def _comes_later(plan: RestorePlan) -> bool:
    """Whether the state that the plan's backup holds comes from that of the point."""
    return plan.seq < shard_of(plan.backup).seq and plan.seq <= _high(plan)


def _high(plan: RestorePlan) -> float:
    """Where the history of the point leaves the timeline of the backup."""
    highs = {branch.timeline: branch.high for branch in plan.point.history}
    high = highs[plan.backup.timeline.id]
    return inf if high is None else high


def walk(local: LocalDir, manifest: Manifest, plan: RestorePlan, held: Holdings, reader: LogReader) -> LogTold:
    """Computes the running hash over the restored log anew, from the manifest on, and compares it wherever the
    repository says what it should be. Past the end it goes on with records of the repository, to the next place where
    something says so. Raises CorruptionError, StorageError.
    """
    expected = _expected(plan, held)
    ledger, chain, seq = Ledger.of(manifest), manifest.chain, manifest.flushed_seq
    then: Mapping[int, int] | None = dict(ledger.rows) if passes(plan) else None
    problems = _differing(expected, seq, chain)
    for header, record in log_files.taken(local, manifest.shard, manifest.flushed_seq, plan.seq):
        seq, chain = header.seq, chain_next(chain, record)
        ledger.note((header, record))
        problems += _differing(expected, seq, chain)
        if then is not None and seq <= shard_of(plan.backup).seq:
            then = dict(ledger.rows)
    if seq != plan.seq:
        return LogTold(ledger, None, (*problems, f"the restored log ends at commit {seq} instead of {plan.seq}"))
    problems += _ahead(chain, plan, reader)
    if _comes_later(plan):
        later = Ledger(dict(ledger.rows))
        for each in _own_log(plan.backup, reader, plan.seq):
            later.note(each)
        then = later.rows
    return LogTold(ledger, then, tuple(problems))


def _differing(expected: Mapping[int, Iterable[tuple[str, str]]], seq: int, chain: bytes) -> list[str]:
    wrong = sorted(where for where, known in expected.get(seq, ()) if known != chain.hex())
    return [f"the running hash of the log at commit {seq} is not that of {', '.join(wrong)}"] if wrong else []


def _expected(plan: RestorePlan, held: Holdings) -> dict[int, set[tuple[str, str]]]:
    """By seq, along the history of a plan: who says which running hash, in hexadecimal, is the one there."""
    found: dict[int, set[tuple[str, str]]] = {}
    highs = {branch.timeline: branch.high for branch in plan.point.history}
    for backup in on_history(held, plan.point.history):
        shard, high = shard_of(backup), highs[backup.timeline.id]
        if high is None or shard.seq <= high:
            found.setdefault(shard.seq, set()).add((f"backup {backup.id}", shard.chain))
    for stretch in stretches(held, plan.point.history):
        part = stretch.part
        if part is None:
            continue
        found.setdefault(part.first_seq - 1, set()).add((part.where, part.before))
        if stretch.until == part.last_seq:
            found.setdefault(part.last_seq, set()).add((part.where, part.after))
    return found


def _ahead(chain: bytes, plan: RestorePlan, reader: LogReader) -> Iterator[str]:
    """From the target on to the end of the object whose records came last, and to that of the backup's own log."""
    seq = plan.seq
    for stretch in [step.stretch for step in plan.steps[-1:]]:
        rest = [record for record in reader.all_of(stretch) if record[0].seq > seq]
        due, where = _end_of(stretch)
        if rest and _chained(chain, rest).hex() != due:
            yield f"the running hash of the log at commit {seq} does not lead to that of {where}"
    if _comes_later(plan):
        shard = shard_of(plan.backup)
        if _chained(chain, _own_log(plan.backup, reader, seq)).hex() != shard.chain:
            yield f"the running hash of the log at commit {seq} does not lead to that of backup {plan.backup.id}"


def _end_of(stretch: Stretch) -> tuple[str, str]:
    """The running hash at the end of the object that holds a stretch, and what that is."""
    if stretch.part is not None:
        return stretch.part.after, stretch.part.where
    assert stretch.backup is not None
    return shard_of(stretch.backup).chain, f"backup {stretch.backup.id}"


def _chained(chain: bytes, records: Iterable[Record]) -> bytes:
    for _, record in records:
        chain = chain_next(chain, record)
    return chain


def _own_log(backup: BackupDocument, reader: LogReader, after: int) -> Sequence[Record]:
    """The records after ``after`` of the log that the backup itself holds."""
    return [record for stretch in log_of(backup) for record in reader.all_of(stretch) if record[0].seq > after]
