"""Off-site copies: everything that is listed, into another repository, verified there, restorable from there alone.

Ids stay, so that a copy is made anew by adding what is missing. Where both are plain, objects keep their keys and their
bytes; else they are sealed anew, with the destination's secret. References to cold objects become copies.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tiervdb.backup import archive_reader, fetching, holdings, leases
from tiervdb.backup.backup_plan import Content
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.leases import HeldLease
from tiervdb.backup.pace import UNLIMITED, Limits, Pace
from tiervdb.backup.sending import Progress
from tiervdb.backup.vault import Vault
from tiervdb.errors import (
    ArchiveConflictError,
    CorruptionError,
    FeatureUnavailableError,
    ObjectExistsError,
    ObjectNotFoundError,
    StateError,
)
from tiervdb.format import documents as local_documents
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format import wal_part
from tiervdb.format.repository_documents import BackupDocument, BackupFile, PartHeader, StoredObject
from tiervdb.storage.object_store import ObjectStore


@dataclass(frozen=True)
class CopyResult:
    """What was copied; all of it was read back. ``skipped_backups``: those that were there already."""

    backups: int
    skipped_backups: int
    objects: int
    bytes: int
    parts: int


@dataclass(frozen=True)
class CopyWish:
    """``cold``: opens the source's cold store, for backups by reference."""

    limits: Limits = UNLIMITED
    progress: Progress | None = None
    cold: Callable[[str], ObjectStore] | None = None


def copy(source: Vault, target: Vault, wish: CopyWish) -> CopyResult:
    """Copies what is listed in ``source`` and not in ``target``.

    ArchiveConflictError if the target went another way since, CorruptionError if something is damaged at the source or
    does not come back as it was; what was copied before stays, and the next run goes on.
    """
    held = holdings.read(source)
    there = {backup.id: backup for backup in holdings.read(target).backups}
    with leases.take(source, "copy", backups=[b.id for b in held.backups], timelines=list(held.archived)) as lease:
        run = _Run(source, target, wish, lease)
        run.lineage(held)
        for backup in there.values():
            run.know(backup)
        new = [backup for backup in held.backups if backup.id not in there]
        run.begin(new)
        for backup in new:
            run.backup(backup)
        parts = sum(run.parts(held, timeline) for timeline in held.archived)
        return CopyResult(len(new), len(held.backups) - len(new), run.objects, run.bytes, parts)


class _Run:
    def __init__(self, source: Vault, target: Vault, wish: CopyWish, lease: HeldLease) -> None:
        self._source = source
        self._target = target
        self._wish = wish
        self._lease = lease
        self._pace = Pace(wish.limits, source.clock)
        self._known: dict[Content, StoredObject] = {}
        self.objects = self.bytes = 0
        self._total = 0

    def know(self, backup: BackupDocument) -> None:
        """Objects of a backup that is at the target may be listed again."""
        for file in backup.files:
            if file.object is not None:
                self._known[file.sha256, file.size] = file.object

    def lineage(self, held: Holdings) -> None:
        """Timelines first, then the epochs that name them."""
        for timeline in held.lineage.timelines.values():
            self._same(paths.TimelineKey(timeline.timeline.id).key, timeline, documents.decode_timeline)
        for epoch in held.lineage.epochs:
            self._same(paths.RepositoryEpochKey(epoch.epoch).key, epoch, documents.decode_epoch)

    def begin(self, backups: Iterable[BackupDocument]) -> None:
        self._total = sum({(f.sha256, f.size): f.size for b in backups for f in b.files}.values())

    def backup(self, backup: BackupDocument) -> None:
        """All that it lists, then its document."""
        missing = {(f.sha256, f.size): f for f in backup.files if (f.sha256, f.size) not in self._known}
        workers = self._wish.limits.parallel
        with ThreadPoolExecutor(workers, thread_name_prefix="tiervdb-copy") as pool:
            copied = list(pool.map(lambda file: self._object(backup, file), missing.values()))
        self._known.update(zip(missing, copied, strict=True))
        document = _relisted(backup, self._known)
        self._same(paths.BackupKey(backup.id).key, document, documents.decode_backup)

    def parts(self, held: Holdings, timeline: str) -> int:
        """The archived log of a timeline, in order; how many parts were not there yet."""
        every = archive_reader.headers(self._source, timeline, holdings.SHARD)
        have = {part.n: part for part in archive_reader.headers(self._target, timeline, holdings.SHARD)}
        for part in every:
            if part.n in have:
                if have[part.n] != part:
                    raise self._conflict(f"part {part.n} of timeline {timeline}")
                continue
            self._part(part)
        complete = held.archived[timeline].complete
        if complete is not None:
            self._target.replace(paths.CompleteKey(timeline, holdings.SHARD).key, complete)
        return len([part for part in every if part.n not in have])

    def _part(self, part: PartHeader) -> None:
        key = paths.PartKey(part.timeline, part.shard, part.n).key
        body = b"" if part.kind != "records" else archive_reader.body(self._source, part)
        packed = archive_reader.packed(self._target, key, body) if part.kind == "records" else b""
        head = self._target.seal(f"{key}#head", local_documents.encode(part))
        self._pace.request(len(packed))
        try:
            self._target.store.put_if_absent(key, wal_part.join(head, packed))
        except ObjectExistsError as error:
            if archive_reader.header(self._target, part.timeline, part.shard, part.n) != part:
                raise self._conflict(key) from error
        if part.kind == "records" and archive_reader.body(self._target, part) != body:
            raise CorruptionError(f"{key} did not come back from {self._target.url} as it was written")
        self._lease.renew()

    def _object(self, backup: BackupDocument, file: BackupFile) -> StoredObject:
        self._pace.request(file.size)
        stored = self._copied_as_it_is(file) or self._through_here(backup, file)
        self._read_back(file, stored)
        self.objects += 1
        self.bytes += file.size
        if self._wish.progress is not None:
            self._wish.progress(self.bytes, self._total)
        self._lease.renew()
        return stored

    def _copied_as_it_is(self, file: BackupFile) -> StoredObject | None:
        """Under its key, by the stores themselves where they can."""
        stored = file.object
        if stored is None or self._source.encrypted or self._target.encrypted:
            return None
        with suppress(ObjectNotFoundError):
            if self._target.store.stat(stored.key).size == stored.stored_size:
                return stored  # from a run that was cut short
        try:
            self._target.store.copy_from(self._source.store, stored.key, stored.key)
        except FeatureUnavailableError:
            with tempfile.TemporaryDirectory(prefix="tiervdb-copy-") as folder:
                path = Path(folder) / "object"
                self._source.store.get_file(stored.key, path)
                self._target.store.put_file(stored.key, path)
        return stored

    def _through_here(self, backup: BackupDocument, file: BackupFile) -> StoredObject:
        with tempfile.TemporaryDirectory(prefix="tiervdb-copy-") as folder:
            path = Path(folder) / "object"
            if file.object is not None:
                self._source.get_file(file.object, path)
            else:
                self._referenced(backup).get_file(file.name, path)
            if fetching.hash_file(path) != file.sha256:
                raise fetching.damaged(file, self._source)
            compress = file.object is not None and file.object.codec == "zstd"
            return self._target.put_file(backup.id, path, file.size, compress=compress)

    def _referenced(self, backup: BackupDocument) -> ObjectStore:
        if backup.cold_url is None or self._wish.cold is None:
            raise StateError(f"backup {backup.id} holds cold objects by reference, and their store is not known here")
        return self._wish.cold(backup.cold_url)

    def _read_back(self, file: BackupFile, stored: StoredObject) -> None:
        with tempfile.TemporaryDirectory(prefix="tiervdb-copy-") as folder:
            path = Path(folder) / "object"
            self._target.get_file(stored, path)
            if fetching.hash_file(path) != file.sha256:
                raise CorruptionError(
                    f"{stored.key} did not come back from {self._target.url} as it was sent, or is damaged in "
                    f"{self._source.url}; run `tiervdb verify --deep` on both"
                )

    def _same(self, key: str, document: msgspec.Struct, decode: Callable[[bytes, str], object]) -> None:
        """Creates a document at the target; one that is there must say the same."""
        try:
            self._target.create(key, document)
        except ObjectExistsError as error:
            if self._target.read(key, decode) != document:
                raise self._conflict(key) from error

    def _conflict(self, what: str) -> ArchiveConflictError:
        return ArchiveConflictError(
            f"{what} is another one in {self._target.url} than in {self._source.url}: a database was attached to the "
            "copy since, and went its own way. Copy to another URL"
        )


def _relisted(backup: BackupDocument, known: dict[Content, StoredObject]) -> BackupDocument:
    """The same backup, whose files are all at the target."""

    def moved(file: BackupFile) -> BackupFile:
        return msgspec.structs.replace(file, object=known[file.sha256, file.size])

    shards = tuple(
        msgspec.structs.replace(s, manifest=moved(s.manifest), files=tuple(moved(f) for f in s.files))
        for s in backup.shards
    )
    return msgspec.structs.replace(backup, shards=shards, cold="copy", pins=())
