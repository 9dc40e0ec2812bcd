"""The records of a stretch, from the archive or from a backup, their checksums verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tiervdb.backup import archive_reader
from tiervdb.backup.holdings import Holdings, Stretch, stretches
from tiervdb.backup.lineage import Branch
from tiervdb.backup.vault import Vault
from tiervdb.engine.log_files import Record, split
from tiervdb.errors import CorruptionError
from tiervdb.format.operations import CreateSnapshot, DropSnapshot
from tiervdb.format.wal_body import CreateSnapshotOp, DropSnapshotOp
from tiervdb.format.wal_header import RECORD_HEADER_LENGTH, RecordHeader
from tiervdb.format.wal_record import chain_next, decode_body, peek

RecordTimes = Callable[[Stretch], Iterable[tuple[int, int]]]  # seqs and commit times


@dataclass(frozen=True)
class Step:
    """The records of a stretch that are needed: the seqs in (after, until]."""

    stretch: Stretch
    after: int
    until: int


def chain_of(held: Sequence[Stretch], after: int, until: int) -> list[Step] | None:
    """The fewest stretches with all records of (after, until]; None if some are missing. Pure."""
    steps: list[Step] = []
    seq = after
    while seq < until:
        fitting = [s for s in held if s.after <= seq < s.until]
        if not fitting:
            return None
        best = max(fitting, key=lambda s: s.until)
        end = min(best.until, until)
        steps.append(Step(best, seq, end))
        seq = end
    return steps


class LogReader:
    """Reads records of one repository; the newest stretch read is kept."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._kept: tuple[Stretch, list[Record]] | None = None

    def records(self, step: Step) -> Iterator[Record]:
        """Those of a step, in order."""
        return (r for r in self.all_of(step.stretch) if step.after < r[0].seq <= step.until)

    def all_of(self, stretch: Stretch) -> list[Record]:
        """CorruptionError if what is stored is not what should be there."""
        if self._kept is not None and self._kept[0] == stretch:
            return self._kept[1]
        found = list(split(self._bytes(stretch), _name(stretch)))
        seqs = [header.seq for header, _ in found]
        if (
            seqs != list(range(stretch.after + 1, stretch.after + 1 + len(seqs)))
            or not seqs
            or seqs[-1] < stretch.until
        ):
            raise CorruptionError(f"{_name(stretch)} does not hold the commits that it should; run `tiervdb verify`")
        self._kept = stretch, found
        return found

    def times(self, stretch: Stretch) -> list[tuple[int, int]]:
        """The seq and commit time of each record."""
        return [(header.seq, header.time_us) for header, _ in self.all_of(stretch) if header.seq <= stretch.until]

    def snapshot_seq(self, holdings: Holdings, history: Sequence[Branch], name: str) -> int | None:
        """The seq of a snapshot of that name, made in the log along a history and not dropped on the same timeline.

        A later timeline gives up the names whose pins stayed on a lost machine; the repository still has their states.
        """
        found: tuple[int, str] | None = None  # seq, and the timeline that it was made on
        for stretch in sorted(stretches(holdings, history), key=lambda s: s.after):
            for header, record in self.all_of(stretch):
                if header.seq > stretch.until:
                    break
                line = next(b.timeline for b in history if b.holds(header.seq))
                for op in snapshot_operations(header, record, _name(stretch)):
                    if isinstance(op, CreateSnapshot) and op.snapshot.name == name:
                        found = op.snapshot.seq, line
                    elif isinstance(op, DropSnapshot) and op.name == name and found is not None and found[1] == line:
                        found = None
        return None if found is None else found[0]

    def _bytes(self, stretch: Stretch) -> bytes | memoryview:
        if stretch.part is not None:
            return archive_reader.body(self._vault, stretch.part)
        if stretch.log is None or stretch.log.object is None:
            raise CorruptionError("a backup lists a log without an object; run `tiervdb verify`")
        return self._vault.get_bytes(stretch.log.object)


def snapshot_operations(
    header: RecordHeader, record: memoryview, where: str
) -> Iterator[CreateSnapshot | DropSnapshot]:
    """Those of a record that give a snapshot its name or take it away."""
    body = record[RECORD_HEADER_LENGTH:]
    if any(isinstance(op, CreateSnapshotOp | DropSnapshotOp) for op in peek(body, header, where).ops):
        ops = decode_body(body, header, where).ops
        yield from (op for op in ops if isinstance(op, CreateSnapshot | DropSnapshot))


def require_chain(before: bytes, records: Iterable[Record], where: str) -> Iterator[Record]:
    """Passes records on; CorruptionError where one does not follow the one before it."""
    expected: int | None = None
    for header, record in records:
        if expected is not None and header.seq != expected:
            raise CorruptionError(f"{where}: commit {expected} is missing before {header.seq}; run `tiervdb verify`")
        expected = header.seq + 1
        before = chain_next(before, record)
        yield header, record


def _name(stretch: Stretch) -> str:
    if stretch.part is not None:
        return f"part {stretch.part.n} of timeline {stretch.part.timeline}"
    return f"the log of backup {stretch.backup.id}" if stretch.backup is not None else "a log"
