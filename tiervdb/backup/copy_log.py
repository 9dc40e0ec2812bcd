"""Copying the archived log of a timeline from one repository to another, each part read back and compared."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tiervdb.backup import archive_reader, copied_log, part_object
from tiervdb.backup.leases import Renew
from tiervdb.backup.pace import Pace
from tiervdb.backup.side_by_side import batches, each
from tiervdb.backup.vault import Vault
from tiervdb.backup.wal_archive import PART_BYTES
from tiervdb.errors import ArchiveConflictError, CorruptionError, ObjectExistsError
from tiervdb.format.repository_documents import PartHeader

_Missing = tuple[PartHeader, Sequence[PartHeader]]  # a part, and what the target has of its numbers


@dataclass(frozen=True)
class LogCopied:
    """``damage``: why some parts were not copied."""

    parts: int
    damage: tuple[CorruptionError, ...]


@dataclass(frozen=True)
class LogCopier:
    """``parallel``: parts at once. ``bases``: seqs that the backups of the target start from."""

    source: Vault
    target: Vault
    parallel: int
    pace: Pace
    renew: Renew
    bases: Sequence[int]

    def copy(self, timeline: str, shard: int) -> LogCopied:
        """Parts that the target does not have. ArchiveConflictError if it went another way."""
        unreadable: list[CorruptionError] = []
        every = archive_reader.headers(self.source, timeline, shard, lambda _, error: unreadable.append(error))
        have = archive_reader.headers(self.target, timeline, shard)
        missing = list(self._missing(every, have))
        damage = list(unreadable)
        for batch in _batches(missing, self.parallel):
            damage += [e for e in each(self._try, batch, self.parallel, "tiervdb-copy-log") if e is not None]
        return LogCopied(len(missing) - (len(damage) - len(unreadable)), tuple(damage))

    def _missing(self, every: Sequence[PartHeader], have: Sequence[PartHeader]) -> Iterator[_Missing]:
        """Parts to copy."""
        ends = [other.through for other in have]
        for part in every:
            first = bisect_left(ends, part.n)
            last = first
            while last < len(have) and have[last].n <= part.through:
                last += 1
            inside = have[first:last]
            if not copied_log.agree(part, inside):
                raise self._conflict(part.where)
            if not copied_log.holds(inside, part) and not self._is_needless(part, inside, have):
                yield part, inside

    def _is_needless(self, part: PartHeader, inside: Sequence[PartHeader], have: Sequence[PartHeader]) -> bool:
        """What the target lacks of it comes before all that it holds: an expiry took that from there."""
        if not have or not self.bases or part.n >= have[0].n:
            return False
        lacking = min(part.last_seq, have[0].first_seq - 1)
        return lacking <= min(self.bases) and (part.through < have[0].n or copied_log.holds(inside, part, have[0].n))

    def _try(self, wanted: _Missing) -> CorruptionError | None:
        try:
            self._part(*wanted)
        except CorruptionError as error:
            return error
        return None

    def _part(self, part: PartHeader, inside: Sequence[PartHeader]) -> None:
        key = part.key
        body = b"" if part.kind != "records" else archive_reader.body(self.source, part)
        if copied_log.differing(part, body, inside):
            raise self._conflict(part.where)
        data = part_object.encode(self.target, part, body)
        self.pace.request(len(data))
        try:
            self.target.store.put_if_absent(key, data)
        except ObjectExistsError as error:
            there = archive_reader.header(self.target, key)
            if there is None or not copied_log.agree(part, [there]):
                raise self._conflict(key) from error
        if part.kind == "records" and archive_reader.body(self.target, part) != body:
            raise CorruptionError(f"{key} did not come back from {self.target.url} as it was written")
        self.renew()

    def _conflict(self, what: str) -> ArchiveConflictError:
        return copied_log.conflict(what, self.source.url, self.target.url)


def _batches(missing: Sequence[_Missing], most: int) -> Iterator[Sequence[_Missing]]:
    """Some at once; the first alone, for a target that has later parts only looks as if an expiry had been there."""
    yield missing[:1]
    yield from batches(missing[1:], lambda wanted: wanted[0].length, PART_BYTES, most)
