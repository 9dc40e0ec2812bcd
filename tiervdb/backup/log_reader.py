"""The records of a stretch, from the archive or from a backup, their checksums verified."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tiervdb.backup import archive_reader
from tiervdb.backup.holdings import Holdings, Stretch, stretches
from tiervdb.backup.lineage import Branch
from tiervdb.backup.read_ahead import ReadAhead
from tiervdb.backup.vault import Vault
from tiervdb.engine.log_files import Record, split
from tiervdb.errors import CorruptionError
from tiervdb.format.operations import CreateSnapshot, DropSnapshot
from tiervdb.format.wal_body import CreateSnapshotOp, DropSnapshotOp
from tiervdb.format.wal_header import RECORD_HEADER_LENGTH, RecordHeader
from tiervdb.format.wal_record import chain_next, decode_body, peek

KEPT_BYTES = 64 << 20
RecordTimes = Callable[[Stretch], Iterable[tuple[int, int]]]  # seqs and commit times


@dataclass(frozen=True)
class Step:
    """The records of a stretch that are needed: the seqs in (after, until]."""

    stretch: Stretch
    after: int
    until: int


def chain_of(held: Sequence[Stretch], after: int, until: int) -> list[Step] | None:
    """The fewest stretches with all records of (after, until], of two that go as far the first; None if some are
    missing. Pure."""
    steps: list[Step] = []
    order = iter(sorted(range(len(held)), key=lambda place: held[place].after))
    place = next(order, None)
    furthest, seq = (after, 0), after  # how far the best of those goes that begin by seq, and its place, negative
    while seq < until:
        while place is not None and held[place].after <= seq:
            furthest = max(furthest, (held[place].until, -place))
            place = next(order, None)
        if furthest[0] <= seq:
            return None
        end = min(furthest[0], until)
        steps.append(Step(held[-furthest[1]], seq, end))
        seq = end
    return steps


class LogReader:
    """Reads records of one repository; what was read last is kept, up to some bytes. Not thread-safe."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._kept = _Kept()
        self._ahead = ReadAhead()
        self.read_bytes = 0  # of records

    @contextmanager
    def ahead(self, stretches: Sequence[Stretch]) -> Iterator[None]:
        """Within it, these are read in their order, some before they are asked for."""
        wanted = {_key(s): partial(self._bytes, s) for s in stretches if _key(s) not in self._kept}
        sizes = {_key(s): _size(s) for s in stretches}
        with ReadAhead.of(wanted, sizes) as self._ahead:
            try:
                yield
            finally:
                self._ahead = ReadAhead()

    def records(self, step: Step) -> Iterator[Record]:
        """Those of a step, in order."""
        return (r for r in self.all_of(step.stretch) if step.after < r[0].seq <= step.until)

    def all_of(self, stretch: Stretch) -> list[Record]:
        """CorruptionError if what is stored is not what should be there."""
        key = _key(stretch)
        found = self._kept.get(key)
        if found is None:
            data = self._ahead.take(key) or self._bytes(stretch)
            found = list(split(data, _name(stretch)))
            self._kept.add(key, found, len(data))
            self.read_bytes += len(data)
        seqs = [header.seq for header, _ in found]
        if (
            seqs != list(range(stretch.after + 1, stretch.after + 1 + len(seqs)))
            or not seqs
            or seqs[-1] < stretch.until
        ):
            raise CorruptionError(f"{_name(stretch)} does not hold the commits that it should; run `tiervdb verify`")
        return found

    def times(self, stretch: Stretch) -> list[tuple[int, int]]:
        """The seq and commit time of each record."""
        return [(header.seq, header.time_us) for header, _ in self.all_of(stretch) if header.seq <= stretch.until]

    def snapshot_seq(self, holdings: Holdings, history: Sequence[Branch], name: str) -> int | None:
        """The seq of a snapshot of that name, made in the log along a history and not dropped on the same timeline.

        A later timeline gives up the names whose pins stayed on a lost machine; the repository still has their states.
        """
        found: tuple[int, str] | None = None  # seq, and the timeline that it was made on
        held = sorted(stretches(holdings, history), key=lambda s: s.after)
        with self.ahead(held):
            for op, line in (named for stretch in held for named in self._snapshots(stretch, history)):
                if isinstance(op, CreateSnapshot) and op.snapshot.name == name:
                    found = op.snapshot.seq, line
                elif isinstance(op, DropSnapshot) and op.name == name and found is not None and found[1] == line:
                    found = None
        return None if found is None else found[0]

    def _snapshots(
        self, stretch: Stretch, history: Sequence[Branch]
    ) -> Iterator[tuple[CreateSnapshot | DropSnapshot, str]]:
        """What names or forgets a snapshot in a stretch, and the timeline that this was made on."""
        for header, record in self.all_of(stretch):
            if header.seq > stretch.until:
                break
            line = next(b.timeline for b in history if b.holds(header.seq))
            for op in snapshot_operations(header, record, _name(stretch)):
                yield op, line

    def _bytes(self, stretch: Stretch) -> bytes | memoryview:
        if stretch.part is not None:
            return archive_reader.body(self._vault, stretch.part)
        if stretch.log is None or stretch.log.object is None:
            raise CorruptionError("a backup lists a log without an object; run `tiervdb verify`")
        return self._vault.get_bytes(stretch.log.object)


class _Kept:
    """Records by the key of their object, those asked for last; always the newest."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[list[Record], int]] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> list[Record] | None:
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def add(self, key: str, records: list[Record], size: int) -> None:
        self._entries[key] = records, size
        self._bytes += size
        while self._bytes > KEPT_BYTES and len(self._entries) > 1:
            _, (_, gone) = self._entries.popitem(last=False)
            self._bytes -= gone


def snapshot_operations(
    header: RecordHeader, record: memoryview, where: str
) -> Iterator[CreateSnapshot | DropSnapshot]:
    """Those of a record that give a snapshot its name or take it away."""
    body = record[RECORD_HEADER_LENGTH:]
    if any(isinstance(op, CreateSnapshotOp | DropSnapshotOp) for op in peek(body, header, where).ops):
        ops = decode_body(body, header, where).ops
        yield from (op for op in ops if isinstance(op, CreateSnapshot | DropSnapshot))


def require_chain(after: int, chain: bytes, steps: Iterable[Step], reader: LogReader, where: str) -> Iterator[Record]:
    """The records of steps; CorruptionError where one does not follow the one before it, or where the running hash,
    which is ``chain`` after the commit ``after``, is not the one that the archive has there."""
    expected = after + 1
    for step in steps:
        part = step.stretch.part
        if part is not None and part.first_seq == expected and part.before != chain.hex():
            raise CorruptionError(f"{where}: {part.where} is of another history than what comes before it")
        for header, record in reader.records(step):
            if header.seq != expected:
                raise CorruptionError(
                    f"{where}: commit {expected} is missing before {header.seq}; run `tiervdb verify`"
                )
            expected, chain = header.seq + 1, chain_next(chain, record)
            yield header, record
        if part is not None and part.last_seq == expected - 1 and part.after != chain.hex():
            raise CorruptionError(f"{where}: {part.where} is of another history than what comes before it")


def _name(stretch: Stretch) -> str:
    if stretch.part is not None:
        return stretch.part.where
    return f"the log of backup {stretch.backup.id}" if stretch.backup is not None else "a log"


def _key(stretch: Stretch) -> str:
    """Of the object that holds it."""
    if stretch.part is not None:
        return stretch.part.key
    stored = None if stretch.log is None else stretch.log.object
    return "" if stored is None else stored.key


def _size(stretch: Stretch) -> int:
    if stretch.part is not None:
        return stretch.part.length
    return 0 if stretch.log is None else stretch.log.size
