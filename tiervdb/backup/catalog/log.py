"""Commits and snapshot names, from the records of the archived log and of backups' own logs. Each is read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tiervdb.backup.holdings import Holdings, Stretch, stretches
from tiervdb.backup.lineage import Branch
from tiervdb.backup.log_reader import LogReader, snapshot_operations
from tiervdb.engine.commit_log import TimedCommit
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import commit_log
from tiervdb.format.manifest import SnapshotName
from tiervdb.format.operations import CreateSnapshot
from tiervdb.format.wal_header import RECORD_HEADER_LENGTH
from tiervdb.format.wal_record import peek


@dataclass(frozen=True)
class NamedState:
    """A snapshot name that the log tells of, at commit ``seq``. ``snapshot``: None where that drops the name."""

    timeline: str
    name: str
    seq: int
    snapshot: SnapshotName | None


@dataclass
class LogContents:
    """By timeline and seq. Filled as the log grows; what cannot be read is left out and named in ``damaged``."""

    commits: dict[tuple[str, int], TimedCommit] = field(default_factory=dict)
    names: dict[tuple[str, int], list[NamedState]] = field(default_factory=dict)
    _held: set[tuple[str, int]] = field(default_factory=set)
    damaged: dict[str, CorruptionError] = field(default_factory=dict)
    _collections: dict[tuple[str, int], str] = field(default_factory=dict)  # of collections, by database and id

    def refresh(self, held: Holdings, reader: LogReader) -> None:
        """Reads what is new along all timelines, and forgets what is held no more."""
        self._held = set()
        for backup in held.backups:
            for collection in backup.collections:
                self._collections.setdefault((backup.database_id, collection.id), collection.name)
        for timeline in held.lineage.timelines.values():
            history = held.lineage.history(timeline.timeline.id)
            wanted = [stretch for stretch in _own(held, history) if self._wants(stretch, history[0])]
            with reader.ahead(wanted):
                for stretch in wanted:
                    self._take(reader, stretch, history[0], timeline.database_id)
        for gone in self.commits.keys() - self._held:
            del self.commits[gone]
            self.names.pop(gone, None)

    def _wants(self, stretch: Stretch, own: Branch) -> bool:
        """Whether a stretch, which is held, has commits that are not known yet."""
        commits = {(own.timeline, seq) for seq in _seqs(stretch, own)}
        self._held |= commits
        return not commits <= self.commits.keys()

    def _take(self, reader: LogReader, stretch: Stretch, own: Branch, database_id: str) -> None:
        seqs = _seqs(stretch, own)
        if all((own.timeline, seq) in self.commits for seq in seqs):
            return
        try:
            records = reader.all_of(stretch)
        except ObjectNotFoundError:
            return  # expired just now
        except CorruptionError as error:
            self.damaged[str(error)] = error
            return
        for header, record in records:
            if header.seq not in seqs or (own.timeline, header.seq) in self.commits:
                continue
            body = record[RECORD_HEADER_LENGTH:]
            names = {id: name for (database, id), name in self._collections.items() if database == database_id}
            commit = commit_log.summarize(header, peek(body, header, f"commit {header.seq}"), names)
            for op in commit.operations:
                if op.collection is not None and op.name is not None:
                    self._collections[(database_id, op.collection)] = op.name
            self.commits[(own.timeline, header.seq)] = TimedCommit(own.timeline, commit)
            for found in snapshot_operations(header, record, f"commit {header.seq}"):
                state = found.snapshot if isinstance(found, CreateSnapshot) else None
                name = found.snapshot.name if isinstance(found, CreateSnapshot) else found.name
                told = NamedState(own.timeline, name, header.seq, state)
                self.names.setdefault((own.timeline, header.seq), []).append(told)


def _seqs(stretch: Stretch, own: Branch) -> range:
    """Those that a stretch holds of the timeline itself."""
    return range(max(stretch.after, own.low) + 1, stretch.until + 1)


def _own(held: Holdings, history: tuple[Branch, ...]) -> Iterator[Stretch]:
    """The records of a timeline itself, not of its ancestors."""
    own = history[0]
    for stretch in sorted(stretches(held, history), key=lambda s: (s.after, s.until)):
        made_on = stretch.part.timeline if stretch.part is not None else None
        made_on = stretch.backup.timeline.id if stretch.backup is not None else made_on
        if made_on == own.timeline and stretch.until > own.low:
            yield stretch
