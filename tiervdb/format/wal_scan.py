"""Reading a WAL file: which records are there, and whether what follows is a torn tail or damage.

A torn tail is what a crash leaves of an append that nobody was told is durable: it is dropped. It is damage if the
record that should stand there is known to have been fsynced: by the published seq, by a later record of the same file
that says so, or because the file is not the shard's last. See docs/formats/wal.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiervdb.errors import CorruptionError
from tiervdb.format.envelope import damaged
from tiervdb.format.paths import PublishedName
from tiervdb.format.wal_header import (
    FILE_HEADER_LENGTH,
    RECORD_HEADER_LENGTH,
    RECORD_MAGIC,
    RecordHeader,
    WalFileHeader,
    body_problem,
    read_record_header,
    require_known,
)


@dataclass(frozen=True)
class RecordSpan:
    """Where a record lies in its file. ``length``: of the whole record, header and body."""

    offset: int
    length: int
    header: RecordHeader

    def record(self, buffer: memoryview) -> memoryview:
        return buffer[self.offset : self.offset + self.length]

    def body(self, buffer: memoryview) -> memoryview:
        return buffer[self.offset + RECORD_HEADER_LENGTH : self.offset + self.length]


@dataclass(frozen=True)
class WalScan:
    """What a WAL file holds. ``end``: bytes up to the last valid record; ``torn``: bytes after it, to be dropped.

    ``header`` is None, and there are no records, if the crash came before the file's header was written.
    """

    header: WalFileHeader | None
    records: list[RecordSpan]
    end: int
    torn: int


def scan(buffer: memoryview, name: str, *, last_file: bool, published_seq: int, next_seq: int) -> WalScan:
    """The records of a WAL file, their checksums verified.

    ``last_file``: whether the file is its shard's last, so that its tail may be torn. ``published_seq``: the highest
    seq known to be fsynced, 0 if none. ``next_seq``: the seq that the file has to start with. Raises CorruptionError
    for damage or a gap, NewerFormatError for a kind of record or file that this code does not know.
    """
    durable = published_seq if last_file else 2**64
    try:
        header = WalFileHeader.decode(buffer, name)
    except CorruptionError:
        if durable >= next_seq or _evidence(buffer, 0, None) >= next_seq:
            raise
        return WalScan(None, [], 0, len(buffer))
    if header.first_seq != next_seq:
        raise damaged(name, f"it starts with seq {header.first_seq} instead of {next_seq}")
    records = _records(buffer, name, header, durable)
    end = records[-1].offset + records[-1].length if records else FILE_HEADER_LENGTH
    return WalScan(header, records, end, len(buffer) - end)


def _records(buffer: memoryview, name: str, file: WalFileHeader, durable: int) -> list[RecordSpan]:
    records: list[RecordSpan] = []
    offset, seq, time_us = FILE_HEADER_LENGTH, file.first_seq, -(2**63)
    while offset < len(buffer):
        header = read_record_header(buffer, offset)
        problem = _flaw(buffer, offset, header, file)
        if header is None or problem is not None:
            if durable >= seq or _evidence(buffer, offset, file.salt) >= seq:
                raise damaged(f"{name} at byte {offset}, record {seq}", problem or "there is no valid record")
            break
        require_known(header, name)
        if (header.seq, header.shard) != (seq, file.shard) or header.time_us <= time_us:
            raise damaged(name, f"record {header.seq} of shard {header.shard} stands where {seq} should")
        records.append(RecordSpan(offset, RECORD_HEADER_LENGTH + header.length, header))
        offset, seq, time_us = offset + RECORD_HEADER_LENGTH + header.length, seq + 1, header.time_us
    if durable < 2**64 and durable >= seq:
        told = f"{PublishedName(file.shard).name} says that records up to {durable} were written durably"
        raise damaged(name, f"it ends before record {seq}, and {told}")
    return records


def _flaw(buffer: memoryview, offset: int, header: RecordHeader | None, file: WalFileHeader) -> str | None:
    if header is None:
        return "there is no valid record header"
    if header.salt != file.salt:
        return "there is a record of another file"
    start = offset + RECORD_HEADER_LENGTH
    if header.length > len(buffer) - start:
        return f"the record ends {header.length - (len(buffer) - start)} bytes after the file"
    return body_problem(buffer[start : start + header.length], header)


def _evidence(buffer: memoryview, offset: int, salt: int | None) -> int:
    """The highest durable seq that a record header from ``offset`` on names; -1 if there is none.

    Records stand at multiples of 8 bytes. Without a ``salt`` (the file header is damaged) any record counts.
    """
    start = -(-offset // 8) * 8
    if len(buffer) - start < RECORD_HEADER_LENGTH:
        return -1
    words = np.frombuffer(buffer[start : start + (len(buffer) - start) // 8 * 8], dtype="<u4")[::2]
    found = -1
    for at in np.flatnonzero(words == int.from_bytes(RECORD_MAGIC, "little")):
        header = read_record_header(buffer, start + int(at) * 8)
        if header is not None and (salt is None or header.salt == salt):
            found = max(found, header.durable_seq)
    return found
