"""The write-ahead log of one shard: append, sync, seal; the same reader serves recovery, time travel and archives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tiervdb.errors import CorruptionError
from tiervdb.format import paths
from tiervdb.format.wal_record import (
    CommitRecord,
    RecordSpan,
    WalFileHeader,
    WalScan,
    chain_next,
    decode_body,
    scan,
)
from tiervdb.storage.local_dir import AppendFile, LocalDir

FSYNCED, VISIBLE = 0, 1  # words of the published file
CHAIN_BYTES = 32


@dataclass(frozen=True)
class WalPosition:
    """The end of a log: the last seq and time in it and the running hash over all records."""

    seq: int
    time_us: int
    chain: bytes


class Wal:
    """Appends records. Not thread-safe: one leader at a time calls it (group_commit.py).

    A file is sealed when it is full; the next one starts lazily, so that an idle session leaves none behind.
    """

    def __init__(self, local: LocalDir, header: WalFileHeader, end: WalPosition, file_bytes: int) -> None:
        self._local = local
        self._header = header  # of the files to come, but for first seq and chain
        self._file_bytes = file_bytes
        self._file: AppendFile | None = None
        self._chains = bytearray(end.chain)
        self._chains_after = end.seq - 1
        self._chains_lock = threading.Lock()
        self.bytes_appended = 0
        self.end = end
        self.salt = header.salt
        self.published = local.shared_words(paths.PublishedName(header.shard).name, 2)
        self.publish(FSYNCED, end.seq)
        self.publish(VISIBLE, end.seq)

    def publish(self, word: int, seq: int) -> None:
        """Tells other processes how far they may read."""
        self.published[word] = np.uint64(seq)

    def append(self, records: list[tuple[int, int, bytes]]) -> None:
        """Writes (seq, time, record) in the order of their seqs; not yet synced."""
        file = self._open_file(records[0][0])
        file.write(b"".join(record for _, _, record in records))
        chain, chains = self.end.chain, bytearray()
        for _, _, record in records:
            chain = chain_next(chain, record)
            chains += chain
            self.bytes_appended += len(record)
        with self._chains_lock:
            self._chains += chains
        self.end = WalPosition(records[-1][0], records[-1][1], chain)

    @property
    def is_full(self) -> bool:
        return self._file is not None and self._file.size >= self._file_bytes

    def sync(self) -> None:
        """Makes all that was appended survive a power loss, and seals the file when it is full."""
        if self._file is None:
            return
        self._file.sync()
        self.publish(FSYNCED, self.end.seq)
        if self.is_full:
            self.seal()

    def seal(self) -> None:
        """Ends the current file; it must have been synced."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def chain_at(self, seq: int) -> bytes:
        """The running hash at an appended seq that was not forgotten."""
        with self._chains_lock:
            start = (seq - self._chains_after - 1) * CHAIN_BYTES
            return bytes(self._chains[start : start + CHAIN_BYTES])

    def forget_chains(self, until: int) -> None:
        """Nobody will ask for the running hash of seqs up to ``until``, but for the last of them."""
        with self._chains_lock:
            del self._chains[: max(0, until - 1 - self._chains_after) * CHAIN_BYTES]
            self._chains_after = max(self._chains_after, until - 1)

    def _open_file(self, first_seq: int) -> AppendFile:
        if self._file is None:
            header = replace(self._header, first_seq=first_seq, chain=self.end.chain)
            name = paths.WalName(self._header.shard, first_seq).name
            self._file = self._local.append_file(name)
            self._file.write(header.encode())
        return self._file


@dataclass(frozen=True)
class WalFile:
    """A log file that was read and found whole. ``last_seq`` is first_seq - 1 while it holds no record."""

    name: str
    first_seq: int
    scan: WalScan
    buffer: memoryview

    @property
    def last_seq(self) -> int:
        return self.scan.records[-1].header.seq if self.scan.records else self.first_seq - 1

    def spans(self, after: int, until: int) -> Iterator[RecordSpan]:
        """The records with seqs in (after, until]."""
        return (span for span in self.scan.records if after < span.header.seq <= until)

    def commits(self, after: int, until: int) -> Iterator[CommitRecord]:
        """The commits in (after, until]."""
        for span in self.spans(after, until):
            yield decode_body(span.body(self.buffer), span.header, self.name)

    def chain_at(self, seq: int) -> bytes:
        """The running hash after ``seq``, which is at least first_seq - 1 and at most last_seq."""
        if self.scan.header is None:
            raise CorruptionError(f"{self.name} has no header; restore the directory, or a backup of it")
        chain = self.scan.header.chain
        for span in self.spans(0, seq):
            chain = chain_next(chain, span.record(self.buffer))
        return chain


def file_names(local: LocalDir, shard: int) -> list[str]:
    """The log files of a shard, oldest first."""
    parsed = (paths.parse_local(name) for name in local.list(paths.WAL_DIR))
    return sorted(p.name for p in parsed if isinstance(p, paths.WalName) and p.shard == shard)


def first_seq_of(name: str) -> int:
    """The seq that a log file's name says it starts with."""
    parsed = paths.parse_local(name)
    if not isinstance(parsed, paths.WalName):
        raise CorruptionError(f"{name} is not the name of a log file")
    return parsed.first_seq


def names_after(names: list[str], seq: int) -> list[str]:
    """The files that may hold records after ``seq``: from the last one on that starts at ``seq + 1`` or before."""
    starts = [i for i, name in enumerate(names) if first_seq_of(name) <= seq + 1]
    return names[starts[-1] :] if starts else names


def read_file(local: LocalDir, name: str, *, last: bool, published_seq: int) -> WalFile:
    """One log file, its checksums verified."""
    first_seq = first_seq_of(name)
    buffer = local.map(name)
    result = scan(buffer, str(local.path(name)), last_file=last, published_seq=published_seq, next_seq=first_seq)
    return WalFile(name, first_seq, result, buffer)


def read_after(local: LocalDir, shard: int, seq: int, published_seq: int, until: int | None = None) -> list[WalFile]:
    """The log after ``seq``, up to ``until`` if given, without a gap; each file is checked by itself and against the
    one before.

    Raises CorruptionError for a missing file and for damage anywhere but in the unsynced tail of the last one.
    """
    every = file_names(local, shard)
    files: list[WalFile] = []
    expected = None
    for name in names_after(every, seq):
        if until is not None and first_seq_of(name) > until:
            break
        file = read_file(local, name, last=name == every[-1], published_seq=published_seq)
        missing = file.first_seq > seq + 1 if expected is None else file.first_seq != expected
        if missing:
            raise CorruptionError(
                f"{local.path(name)} starts at seq {file.first_seq}, but the log must go on at {expected or seq + 1}: "
                "a log file is missing. Restore it, or the directory, or a backup of it, and open again"
            )
        expected = file.last_seq + 1
        files.append(file)
    if not every and published_seq > seq:
        raise CorruptionError(
            f"{local.path(paths.WAL_DIR)} holds no log, but {paths.PublishedName(shard).name} says that commits up to "
            f"{published_seq} were synced, and the manifest ends at {seq}: log files are missing. Restore them, or the "
            "directory, or a backup of it, and open again"
        )
    return files
