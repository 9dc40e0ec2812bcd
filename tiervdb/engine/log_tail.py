"""Following the end of a log: each record is read once, however long its file is."""

from __future__ import annotations

from dataclasses import dataclass

from tiervdb.engine import wal
from tiervdb.engine.log_files import Record
from tiervdb.errors import ObjectNotFoundError
from tiervdb.format.wal_header import FILE_HEADER_LENGTH, RECORD_HEADER_LENGTH, body_problem, read_record_header
from tiervdb.storage.local_dir import LocalDir


@dataclass(frozen=True)
class _Place:
    """Where the record after ``seq`` stands, or will stand."""

    seq: int
    name: str
    offset: int


class LogTail:
    """Takes fsynced records in order, and remembers where it was. Not thread-safe."""

    def __init__(self, local: LocalDir, shard: int) -> None:
        self._local = local
        self._shard = shard
        self._place: _Place | None = None

    def take(self, after: int, until: int, size: int) -> list[Record]:
        """Records from ``after + 1`` on, up to ``until``, of about ``size`` bytes in all and at least one.

        Fewer, or none, where the next one is not here or is damaged: wal.read_after says which.
        """
        found: list[Record] = []
        place = self._place if self._place is not None and self._place.seq == after else self._start(after)
        total = 0
        while place is not None and place.seq < until and (not found or total < size):
            records, place = self._of_file(place, until, size - total)
            found += records
            total += sum(len(record) for _, record in records)
            if place.seq < until and total < size:
                place = self._next_file(place)
        self._place = place
        return found

    def _start(self, after: int) -> _Place | None:
        """In the file that holds the record after a seq, or will: found by reading it from its start."""
        names = wal.names_after(wal.file_names(self._local, self._shard), after)
        if not names or (first := wal.first_seq_of(names[0])) > after + 1:
            return None
        place = _Place(first - 1, names[0], FILE_HEADER_LENGTH)
        _, place = self._of_file(place, after, 2**63)
        return place if place.seq == after else None

    def _of_file(self, place: _Place, until: int, size: int) -> tuple[list[Record], _Place]:
        try:
            buffer = self._local.map(place.name)
        except ObjectNotFoundError:
            return [], place
        found: list[Record] = []
        seq, offset, total = place.seq, place.offset, 0
        while seq < until and offset < len(buffer) and (not found or total < size):
            header = read_record_header(buffer, offset)
            if header is None or header.seq != seq + 1:
                break
            end = offset + RECORD_HEADER_LENGTH + header.length
            if end > len(buffer) or body_problem(buffer[offset + RECORD_HEADER_LENGTH : end], header) is not None:
                break
            found.append((header, buffer[offset:end]))
            seq, offset, total = seq + 1, end, total + end - offset
        return found, _Place(seq, place.name, offset)

    def _next_file(self, place: _Place) -> _Place | None:
        """The file that begins with the next record; None if there is none yet."""
        for name in wal.file_names(self._local, self._shard):
            if wal.first_seq_of(name) == place.seq + 1 and name != place.name:
                return _Place(place.seq, name, FILE_HEADER_LENGTH)
        return None
