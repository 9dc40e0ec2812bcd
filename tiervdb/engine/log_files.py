"""Stretches of the log as bytes: taken out of a database's log files, and made into log files again elsewhere.

Records are passed on as they are, so that the running hash over them stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tiervdb.engine import wal
from tiervdb.errors import CorruptionError
from tiervdb.format import paths
from tiervdb.format.envelope import damaged
from tiervdb.format.manifest import Manifest
from tiervdb.format.wal_header import (
    FILE_HEADER_LENGTH,
    RECORD_HEADER_LENGTH,
    RecordHeader,
    WalFileHeader,
    body_problem,
    read_record_header,
)
from tiervdb.format.wal_record import chain_next
from tiervdb.storage.local_dir import LocalDir

Record = tuple[RecordHeader, memoryview]  # the header, and the whole record with it


def taken(local: LocalDir, shard: int, after: int, until: int) -> Iterator[Record]:
    """The records of the seqs in (after, until]. Raises what wal.read_after raises."""
    if until <= after:
        return
    for file in wal.read_after(local, shard, after, 0, until):
        for span in file.spans(after, until):
            yield span.header, span.record(file.buffer)


def taken_if_there(local: LocalDir, shard: int, after: int, until: int) -> list[Record]:
    """As ``taken``, and nothing where some of these records are here no more: a pin may keep older ones.

    CorruptionError for damage.
    """
    try:
        return list(taken(local, shard, after, until))
    except CorruptionError:
        if _has_hole(local, shard, after, until):
            return []
        raise


def _has_hole(local: LocalDir, shard: int, after: int, until: int) -> bool:
    """Whether no file has some of these records. Raises CorruptionError for one that is damaged."""
    names = wal.file_names(local, shard)
    due = after + 1
    for name in wal.names_after(names, after):
        file = wal.read_file(local, name, last=name == names[-1], published_seq=0)
        if file.first_seq > due:
            return True
        due = max(due, file.last_seq + 1)
    return due <= until


def split(data: bytes | memoryview, name: str) -> Iterator[Record]:
    """The records that follow each other in ``data``, their checksums verified. CorruptionError naming ``name``."""
    view = memoryview(data)
    offset = 0
    while offset < len(view):
        header = read_record_header(view, offset)
        if header is None:
            raise damaged(name, f"there is no valid record at byte {offset}")
        end = offset + RECORD_HEADER_LENGTH + header.length
        problem = (
            "it is cut short" if end > len(view) else body_problem(view[offset + RECORD_HEADER_LENGTH : end], header)
        )
        if problem is not None:
            raise damaged(name, f"record {header.seq}: {problem}")
        yield header, view[offset:end]
        offset = end


def records_of_file(data: bytes, name: str) -> Iterator[Record]:
    """The records of a log file's bytes."""
    return split(memoryview(data)[FILE_HEADER_LENGTH:], name)


def rebuilt(
    records: Iterable[Record], *, shard: int, database_id: str, timeline: str, chain: bytes
) -> Iterator[tuple[str, bytes]]:
    """Log files, each with its name, that hold these records. ``chain``: the running hash before the first.

    A record is bound to its file by a salt, so there is a file for each one that they come from.
    """
    parts: list[bytes] = []
    first, salt, start = 0, 0, chain
    for header, record in records:
        if parts and header.salt != salt:
            yield _file(parts, shard, database_id, timeline, first, salt, start)
            parts = []
        if not parts:
            first, salt, start = header.seq, header.salt, chain
        parts.append(bytes(record))
        chain = chain_next(chain, record)
    if parts:
        yield _file(parts, shard, database_id, timeline, first, salt, start)


def _file(
    parts: list[bytes], shard: int, database_id: str, timeline: str, first: int, salt: int, chain: bytes
) -> tuple[str, bytes]:
    header = WalFileHeader(shard, database_id, timeline, first_seq=first, salt=salt, chain=chain)
    return paths.WalName(shard, first).name, b"".join((header.encode(), *parts))


def beginning(local: LocalDir, manifest: Manifest, at_least: int) -> tuple[int, int, bytes]:
    """The seq, commit time and running hash after which the log here holds all, at or after a seq.

    The commit time is that of the manifest, or 0, where no other is known.
    """
    seq, time_us, chain = manifest.flushed_seq, manifest.flushed_time_us, manifest.chain
    first = _start_of_the_end(local, manifest.shard, at_least)
    if first is not None and first.scan.header is not None and first.first_seq - 1 < seq:
        seq, time_us, chain = first.first_seq - 1, 0, first.scan.header.chain
    if seq < at_least:
        for header, record in taken(local, manifest.shard, seq, at_least):
            seq, time_us, chain = header.seq, header.time_us, chain_next(chain, record)
    return seq, time_us, chain


def _start_of_the_end(local: LocalDir, shard: int, at_least: int) -> wal.WalFile | None:
    """The oldest file from which on no record is missing; none older than needed to begin at a seq."""
    names = wal.file_names(local, shard)
    found: wal.WalFile | None = None
    for name in reversed(names):
        file = wal.read_file(local, name, last=name == names[-1], published_seq=0)
        if found is not None and file.last_seq + 1 != found.first_seq:
            break
        found = file
        if file.first_seq <= at_least + 1:
            break
    return found
