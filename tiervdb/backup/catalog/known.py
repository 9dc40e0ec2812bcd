"""What is known of a repository's write-once documents: each is read once, and only its lists of files are folded.

A backup's list is kept as the numbers of files, for most backups list what others list too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from tiervdb.backup import archive_reader, log_cover
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_operations as operations
from tiervdb.format import repository_paths as paths
from tiervdb.format.documents import DocumentBase
from tiervdb.format.manifest import TierMoveEntry
from tiervdb.format.repository_documents import (
    BackupDocument,
    BackupFile,
    Expiration,
    PartHeader,
    RepositoryEpoch,
    TimelineDocument,
    Tombstone,
)
from tiervdb.format.repository_operations import Operation

Document = BackupDocument | Tombstone | Expiration | TimelineDocument | RepositoryEpoch | Operation | PartHeader
_D = TypeVar("_D", bound=DocumentBase)
Listing = npt.NDArray[np.int32]

_PREFIXES = (paths.BACKUPS, paths.EXPIRATIONS, paths.TIMELINES, paths.EPOCHS, paths.OPERATIONS, paths.WAL)
_READERS = 16
_log = logging.getLogger("tiervdb")


class FileRow(NamedTuple):
    """A file or object as backups list it; the same one in many of them. ``size``, ``stored_size``: bytes."""

    name: str
    role: str
    kind: str
    segment: str | None
    collection: int | None
    size: int
    sha256: str
    key: str | None
    stored_size: int
    layout: str
    codec: str


class Entry(msgspec.Struct, frozen=True):
    """A document that was read. ``files``: those that no entry before had; ``listing``: numbers of all, of a backup."""

    key: str
    document: Document
    files: tuple[FileRow, ...] = ()
    listing: Listing | None = None


class Known:
    """Entries in the order in which they were read. Not thread-safe."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.files: list[FileRow] = []
        self.collections: list[str | None] = []  # of each file, by the backup that first listed it
        self.numbering = object()  # another one whenever files got other numbers
        self._numbers: dict[FileRow, int] = {}
        self._sizes = np.empty(0, np.int64)
        self._moves: set[TierMoveEntry] = set()

    def of(self, kind: type[_D]) -> Iterator[_D]:
        """Those of a kind, in the order of reading."""
        return (entry.document for entry in self.entries.values() if isinstance(entry.document, kind))

    def bytes_of(self, listing: Listing) -> int:
        """Of the files of these numbers."""
        if len(self._sizes) != len(self.files):
            self._sizes = np.asarray([row.size for row in self.files], np.int64)
        return int(self._sizes[listing].sum())

    def refresh(self, vault: Vault) -> None:
        """Reads what is new, and forgets what is gone. What is damaged is left out, aloud."""
        there = {found.key for prefix in _PREFIXES for found in vault.store.list(prefix)}
        self._forget(self.entries.keys() - there)
        missing: set[str] = set()
        while True:
            wanted = there - missing
            wanted -= log_cover.superseded(wanted)
            new = wanted - self.entries.keys()
            for key, document in _read_all(vault, sorted(new)):
                self.add(key, document)
            gone = {key for key in new - self.entries.keys() if key.startswith(paths.WAL)}
            if not gone:
                break
            missing |= gone  # damaged, or merged since: what it stands for, or stands for it now, may be there
            there |= {found.key for found in vault.store.list(paths.WAL)}
        self._forget(self.entries.keys() - wanted)

    def add(self, key: str, document: Document) -> None:
        """Takes a document in; of a backup, its list is folded."""
        if not isinstance(document, BackupDocument):
            self.entries[key] = Entry(key, document)
            return
        known = len(self.files)
        names = _names(document)
        numbers = [self._number(_row(file), names) for file in document.files]
        light = self._light(document)
        self.entries[key] = Entry(key, light, tuple(self.files[known:]), np.asarray(numbers, np.int32))

    def restore(self, entry: Entry) -> None:
        """Takes in an entry that was kept, in the order of reading."""
        names = _names(entry.document)
        for row in entry.files:
            self._number(row, names)
        if isinstance(entry.document, BackupDocument):
            self._moves.update(entry.document.tier_moves)
        self.entries[entry.key] = entry

    def listing(self, backup: str) -> Listing:
        """The numbers of the files that a backup lists."""
        entry = self.entries[paths.BackupKey(backup).key]
        return np.empty(0, np.int32) if entry.listing is None else entry.listing

    def _forget(self, keys: Iterable[str]) -> None:
        dropped = [self.entries.pop(key) for key in keys]
        if any(entry.files for entry in dropped):
            self._renumber()

    def _renumber(self) -> None:
        """Files are numbered by the entries that are left, as whoever reads these pieces would do it."""
        old, entries = self.files, self.entries
        self.numbering = object()
        self.files, self._numbers, self._sizes, self.entries = [], {}, np.empty(0, np.int64), {}
        self.collections = []
        for entry in entries.values():
            known = len(self.files)
            listing = None
            if entry.listing is not None:
                names = _names(entry.document)
                listing = np.asarray([self._number(old[n], names) for n in entry.listing.tolist()], np.int32)
            self.entries[entry.key] = Entry(entry.key, entry.document, tuple(self.files[known:]), listing)

    def _number(self, row: FileRow, names: Mapping[int, str]) -> int:
        number = self._numbers.setdefault(row, len(self.files))
        if number == len(self.files):
            self.files.append(row)
            self.collections.append(None if row.collection is None else names.get(row.collection))
        return number

    def _light(self, backup: BackupDocument) -> BackupDocument:
        """Without its list, but for the log; with the tier moves that no backup before told of."""
        shards = tuple(
            msgspec.structs.replace(shard, files=tuple(file for file in shard.files if file.role == "wal"))
            for shard in backup.shards
        )
        moves = tuple(move for move in backup.tier_moves if move not in self._moves)
        self._moves.update(moves)
        return msgspec.structs.replace(backup, shards=shards, golden=(), tier_moves=moves)


def _names(document: Document) -> dict[int, str]:
    """Of a backup's collections, by id."""
    return {c.id: c.name for c in document.collections} if isinstance(document, BackupDocument) else {}


def _row(file: BackupFile) -> FileRow:
    stored = file.object
    of_object = ("", 0, "", "") if stored is None else (stored.key, stored.stored_size, stored.layout, stored.codec)
    key, stored_size, layout, codec = of_object
    return FileRow(
        name=file.name,
        role=file.role,
        kind=file.kind,
        segment=file.segment,
        collection=file.collection,
        size=file.size,
        sha256=file.sha256,
        key=key or None,
        stored_size=stored_size,
        layout=layout,
        codec=codec,
    )


def _read_all(vault: Vault, keys: list[str]) -> Iterator[tuple[str, Document]]:
    """In the order of the keys; those that are gone meanwhile, or damaged, are left out."""

    def one(key: str) -> Document | None:
        try:
            return _read(vault, key)
        except ObjectNotFoundError:
            return None
        except CorruptionError as error:
            _log.warning("the catalog leaves %s out: %s", key, error)
            return None

    if not keys:
        return
    with ThreadPoolExecutor(min(_READERS, len(keys)), thread_name_prefix="tiervdb-catalog") as pool:
        for key, document in zip(keys, pool.map(one, keys), strict=True):
            if document is not None:
                yield key, document


def _read(vault: Vault, key: str) -> Document | None:
    match paths.parse(key):
        case paths.BackupKey():
            return vault.read(key, documents.decode_backup)
        case paths.ExpirationKey():
            return vault.read(key, documents.decode_expiration)
        case paths.TimelineKey():
            return vault.read(key, documents.decode_timeline)
        case paths.RepositoryEpochKey():
            return vault.read(key, documents.decode_epoch)
        case paths.OperationKey():
            return vault.read(key, operations.decode_operation)
        case paths.PartKey() | paths.MergedKey():
            return archive_reader.header(vault, key)
    return None
