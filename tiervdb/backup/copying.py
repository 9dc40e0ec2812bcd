"""Off-site copies: everything that is listed, into another repository, verified there, restorable from there alone.

Ids of backups, timelines and parts stay, so that a copy is made anew by adding what is missing. Where both are plain,
objects keep their bytes; else they are sealed anew, with the destination's secret. References to cold objects become
copies. What an expiry took from the destination does not come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from tiervdb.backup import copied_log, holdings, leases, listing, merging
from tiervdb.backup.backup_plan import Content
from tiervdb.backup.copy_log import LogCopier
from tiervdb.backup.copy_objects import CopyWish, ObjectCopier
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.leases import HeldLease
from tiervdb.backup.vault import Vault
from tiervdb.errors import (
    ArchiveConflictError,
    CorruptionError,
    ObjectExistsError,
    StateError,
    StoreRefusedError,
)
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument, BackupFile, StoredObject


@dataclass(frozen=True)
class CopyResult:
    """What was copied; all of it was read back. ``skipped_backups``: those that were there already."""

    backups: int
    skipped_backups: int
    objects: int
    bytes: int
    parts: int


def copy(source: Vault, target: Vault, wish: CopyWish) -> CopyResult:
    """Copies what is listed in ``source`` and not in ``target``. Small parts of the target's log that a merged object
    stands for now are deleted there, where its key may.

    ArchiveConflictError if the target went another way since. CorruptionError if something is damaged at the source or
    does not come back as it was, after all else was copied; what was copied stays, and the next run goes on.
    """
    held, damage = holdings.readable(source)
    with leases.take(source, "copy", backups=[b.id for b in held.backups], timelines=list(held.archived)) as lease:
        held = holdings.without(held, listing.expired(source))  # what expired before the lease may be gone already
        run = _Run(source, target, wish, lease, damage)
        run.lineage(held)
        skipped = listing.settled(target)
        new = [backup for backup in held.backups if backup.id not in skipped]
        run.begin(new)
        for backup in new:
            run.backup(backup)
        for timeline in held.archived:
            run.log(held, timeline)
        with suppress(StoreRefusedError):  # a key that may not delete: the next expiry there does it
            merging.delete_unless_locked(target)
        run.require_whole()
        return CopyResult(len(new), len(held.backups) - len(new), run.objects.copied, run.objects.bytes, run.parts)


class _Run:
    def __init__(
        self, source: Vault, target: Vault, wish: CopyWish, lease: HeldLease, damage: list[CorruptionError]
    ) -> None:
        self._source = source
        self._target = target
        self._wish = wish
        self._lease = lease
        self._damage = damage
        self.objects = ObjectCopier(source, target, wish)
        self._there = list(holdings.read(target).backups)
        self.parts = 0

    def require_whole(self) -> None:
        """CorruptionError if something could not be copied."""
        if self._damage:
            more = f", and {len(self._damage) - 1} more" if len(self._damage) > 1 else ""
            raise CorruptionError(
                f"the copy of {self._source.url} in {self._target.url} is not complete, and all else was copied: "
                f"{self._damage[0]}{more}. `tiervdb verify --deep` on the source names them all"
            ) from self._damage[0]

    def lineage(self, held: Holdings) -> None:
        """Timelines first, then the epochs that name them."""
        for timeline in held.lineage.timelines.values():
            self._same(paths.TimelineKey(timeline.timeline.id).key, timeline, documents.decode_timeline)
        for epoch in held.lineage.epochs:
            self._same(paths.RepositoryEpochKey(epoch.epoch).key, epoch, documents.decode_epoch)

    def begin(self, backups: Iterable[BackupDocument]) -> None:
        self.objects.total = sum({(f.sha256, f.size): f.size for b in backups for f in b.files}.values())

    def backup(self, backup: BackupDocument) -> None:
        """All that it lists, under a lease at the target, then its document."""
        with leases.take(self._target, "copy", id=backup.id, may_read_only=False) as lease:
            try:
                document = _relisted(backup, self._stored(backup, lease))
            except CorruptionError as error:
                self._damage.append(error)
                return
            if lease.is_over:
                raise StateError(f"the copy's lease ran out before backup {backup.id} was copied; start it again")
            self._publish(document)
            self._there.append(document)

    def log(self, held: Holdings, timeline: str) -> None:
        """The archived log of a timeline: its parts in order, and up to when it is complete."""
        bases = [holdings.shard_of(backup).flushed_seq for backup in self._there]
        limits, renew = self._wish.limits, self._lease.renew
        copier = LogCopier(self._source, self._target, limits.parallel, self.objects.pace, renew, bases)
        done = copier.copy(timeline, holdings.SHARD)
        self.parts += done.parts
        known = set(map(str, self._damage))
        self._damage += [error for error in done.damage if str(error) not in known]
        complete = held.archived[timeline].complete
        if complete is not None and not done.damage:
            self._target.replace(paths.CompleteKey(timeline, holdings.SHARD).key, complete)

    # -- objects

    def _stored(self, backup: BackupDocument, lease: HeldLease) -> dict[Content, StoredObject]:
        """Where everything that a backup lists is at the target: copied now, or reused from a backup there."""
        reuse = self._reused(backup, lease)
        missing = {(f.sha256, f.size): f for f in backup.files if (f.sha256, f.size) not in reuse}

        def one(file: BackupFile) -> StoredObject:
            stored = self.objects.copy(backup, file)
            self._lease.renew()
            lease.renew()
            return stored

        with ThreadPoolExecutor(self._wish.limits.parallel, thread_name_prefix="tiervdb-copy") as pool:
            copied = list(pool.map(one, missing.values()))
        return {**reuse, **dict(zip(missing, copied, strict=True))}

    def _reused(self, backup: BackupDocument, lease: HeldLease) -> dict[Content, StoredObject]:
        """Objects of backups that the lease names, and that are still listed after that."""
        wanted = {(file.sha256, file.size) for file in backup.files}
        while True:
            found = {
                (file.sha256, file.size): (file.object, other.id)
                for other in self._there
                for file in other.files
                if file.object is not None and (file.sha256, file.size) in wanted
            }
            owners = {owner for _, owner in found.values()}
            if not owners:
                return {}
            lease.name(backups=sorted(owners))
            gone = listing.expired(self._target)
            if not owners & gone:
                return {content: stored for content, (stored, _) in found.items()}
            self._there = [other for other in self._there if other.id not in gone]

    def _publish(self, document: BackupDocument) -> None:
        key = paths.BackupKey(document.id).key
        try:
            self._target.create(key, document)
        except ObjectExistsError as error:
            found = self._target.read(key, documents.decode_backup)
            if not isinstance(found, BackupDocument):
                raise StateError(
                    f"backup {document.id} was given up in {self._target.url} by an expiry, because the copy's lease "
                    "had run out. It stays out of there; copy again for the others"
                ) from error
            if _contents(found) != _contents(document):  # else it comes from another copy that runs beside
                raise self._conflict(key) from error

    def _same(self, key: str, document: msgspec.Struct, decode: Callable[[bytes, str], object]) -> None:
        """Creates a document at the target; one that is there must say the same."""
        try:
            self._target.create(key, document)
        except ObjectExistsError as error:
            if self._target.read(key, decode) != document:
                raise self._conflict(key) from error

    def _conflict(self, what: str) -> ArchiveConflictError:
        return copied_log.conflict(what, self._source.url, self._target.url)


def _relisted(backup: BackupDocument, known: dict[Content, StoredObject]) -> BackupDocument:
    """The same backup, whose files are all at the target."""

    def moved(file: BackupFile) -> BackupFile:
        return msgspec.structs.replace(file, object=known[file.sha256, file.size])

    shards = tuple(
        msgspec.structs.replace(s, manifest=moved(s.manifest), files=tuple(moved(f) for f in s.files))
        for s in backup.shards
    )
    return msgspec.structs.replace(backup, shards=shards, cold="copy", pins=())


def _contents(backup: BackupDocument) -> list[tuple[str, int, str]]:
    return sorted((file.name, file.size, file.sha256) for file in backup.files)
