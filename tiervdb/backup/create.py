"""Making a backup: lease, send what no listed backup has, check that all is there, and the document last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import msgspec

from tiervdb.backup import archive_reader, backup_plan, leases
from tiervdb.backup.backup_plan import BackupPlan, Content, Item
from tiervdb.backup.leases import HeldLease
from tiervdb.backup.listing import is_listed
from tiervdb.backup.pace import UNLIMITED, Limits, Pace
from tiervdb.backup.references import hold_references
from tiervdb.backup.sending import Progress, Sender, require_there
from tiervdb.backup.source import Source
from tiervdb.backup.vault import Vault
from tiervdb.engine import log_files
from tiervdb.engine.identity import this_process
from tiervdb.errors import (
    CorruptionError,
    DatabaseLockedError,
    FencedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StateError,
)
from tiervdb.format import documents as local_documents
from tiervdb.format import manifest as manifests
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import (
    BackupDocument,
    BackupFile,
    BackupProgress,
    ColdMode,
    PartHeader,
    RepositoryEpoch,
    ShardBackup,
    StoredObject,
)
from tiervdb.format.wal_record import chain_next

_SAVE_SECONDS = 1.0

AskedKind = Literal["full", "incremental", "auto"]
Tenure = Callable[[], RepositoryEpoch]


@dataclass(frozen=True)
class Wish:
    """What kind of backup is to be made."""

    kind: AskedKind = "auto"
    cold: ColdMode = "copy"
    label: str | None = None
    limits: Limits = UNLIMITED


def planned(source: Source, wish: Wish, known: list[BackupDocument]) -> BackupPlan:
    """What the backup would send. ``known``: the listed backups, oldest first."""
    return backup_plan.plan(
        backup_plan.items_of(source.manifest), backup_plan.kind_for(wish.kind, known), wish.cold, known
    )


def create(
    vault: Vault,
    source: Source,
    wish: Wish,
    tenure: Tenure,
    repository_id: str,
    list_backups: Callable[[], list[BackupDocument]],
    progress: Progress | None = None,
) -> BackupDocument:
    """Makes a backup of a pinned state. Going on after an interruption, it does not send again what is there.

    ``tenure``: asked first and last whose tenure the backup is made in; FencedError from it when that is over.
    DatabaseLockedError if another backup of this directory runs; CorruptionError if something that the manifest lists
    is missing or damaged; FencedError if a newer writer took over; StorageError. Nothing is listed then.
    """
    lock = source.local.lock(local_paths.ARCHIVE_LOCK)
    if lock is None:
        raise DatabaseLockedError(f"another backup of {source.local.root} is running; wait for it, or stop it")
    try:
        tenure()
        return _Run(vault, source, wish, tenure, repository_id, list_backups).finish(progress)
    finally:
        lock.release()


class _Run:
    """One backup, from its lease to its document."""

    def __init__(
        self,
        vault: Vault,
        source: Source,
        wish: Wish,
        tenure: Tenure,
        repository_id: str,
        list_backups: Callable[[], list[BackupDocument]],
    ) -> None:
        self._vault = vault
        self._source = source
        self._wish = wish
        self._tenure = tenure
        self._list = list_backups
        self._created_us = vault.clock.now_us()
        self._progress, self._lease = self._begin(repository_id)
        self._saved_at = vault.clock.monotonic()

    def finish(self, progress: Progress | None) -> BackupDocument:
        try:
            plan = self._agreed_plan()
            try:
                stored = self._send(plan, progress)
                document = self._document(plan, stored)
            finally:
                self._save(force=True)
            self._publish(document)
        except BaseException:
            self._lease.leave()  # it stays in the repository: the next run goes on under it
            raise
        self._source.local.delete(local_paths.BACKUP_PROGRESS)
        self._lease.release()
        self._require_listed(document)
        return document

    # -- beginning

    def _begin(self, repository_id: str) -> tuple[BackupProgress, HeldLease]:
        """Goes on with an earlier run, if its lease is still there; else starts anew."""
        earlier = self._earlier()
        if earlier is not None and earlier.repository == repository_id:
            lease = leases.take_over(self._vault, earlier.id)
            if lease is not None and self._vault.find(paths.BackupKey(earlier.id).key, documents.decode_backup) is None:
                return earlier, lease
        fresh = BackupProgress(id=local_paths.random_id(self._vault.rng), repository=repository_id)
        lease = leases.take(self._vault, "backup", id=fresh.id, may_read_only=False)
        self._source.local.write_atomic(local_paths.BACKUP_PROGRESS, local_documents.encode(fresh))
        return fresh, lease

    def _earlier(self) -> BackupProgress | None:
        with suppress(ObjectNotFoundError, CorruptionError):
            return documents.decode_progress(
                self._source.local.read(local_paths.BACKUP_PROGRESS), local_paths.BACKUP_PROGRESS
            )
        return None

    def _agreed_plan(self) -> BackupPlan:
        """A plan whose backups are named in the lease, and were still listed after that."""
        while True:
            plan = planned(self._source, self._wish, self._list())
            self._lease.name(backups=plan.backups)
            if all(is_listed(self._vault, backup) for backup in plan.backups):
                return plan

    # -- sending

    def _send(self, plan: BackupPlan, progress: Progress | None) -> dict[Content, StoredObject]:
        hold_references(self._vault, self._source, plan.referenced, self._progress, self._keep)
        there = {item.content: self._progress.objects[item.sha256] for item in plan.send if self._has(item)}
        if there:
            require_there(self._vault, list(there.values()))
        pace = Pace(self._wish.limits, self._vault.clock)
        source = self._source
        sender = Sender(
            self._vault, source.local, source.cold, self._progress.id, self._wish.limits, pace, self._lease.renew
        )
        rest = [item for item in plan.send if item.content not in there]
        sent = sender.send_all(rest, self._sent, progress)
        return {**plan.reuse, **there, **sent}

    def _has(self, item: Item) -> bool:
        known = self._progress.objects.get(item.sha256)
        return known is not None and known.size == item.size

    def _sent(self, item: Item, stored: StoredObject) -> None:
        objects = {**self._progress.objects, item.sha256: stored}
        self._keep(msgspec.structs.replace(self._progress, objects=objects))

    def _keep(self, progress: BackupProgress) -> None:
        self._progress = progress
        self._save()

    def _save(self, force: bool = False) -> None:
        now = self._vault.clock.monotonic()
        if force or now - self._saved_at >= _SAVE_SECONDS:
            self._saved_at = now
            self._source.local.write_atomic(local_paths.BACKUP_PROGRESS, local_documents.encode(self._progress))

    # -- the end

    def _document(self, plan: BackupPlan, stored: dict[Content, StoredObject]) -> BackupDocument:
        source, manifest = self._source, self._source.manifest
        log, chain = self._log()
        listed = self._small(
            local_paths.ManifestName(manifest.shard, manifest.version).name, manifests.encode(manifest), "manifest"
        )
        referenced = set(plan.referenced)
        files = [
            item.stored(None if item in referenced else stored[item.content]) for item in backup_plan.items_of(manifest)
        ]
        if log is not None:
            files.append(log)
        shard = ShardBackup(
            shard=manifest.shard,
            manifest=listed,
            flushed_seq=manifest.flushed_seq,
            first_time_us=manifest.flushed_time_us,
            seq=source.seq,
            time_us=source.time_us,
            chain=chain.hex(),
            files=tuple(files),
        )
        small = [file.object for file in (listed, log) if file is not None and file.object is not None]
        require_there(self._vault, [*stored.values(), *small])
        return BackupDocument(
            id=self._progress.id,
            kind=plan.kind,
            label=self._wish.label,
            database_id=source.identity.database_id,
            timeline=source.identity.timeline,
            ancestors=source.identity.ancestors,
            epoch=self._tenure().epoch,
            created_us=self._created_us,
            finished_us=self._vault.clock.now_us(),
            cold=self._wish.cold,
            cold_url=source.identity.cold_url,
            pins=self._progress.pins,
            shards=(shard,),
            snapshots=source.snapshots,
            sent_bytes=sum(item.size for item in plan.send) + sum(one.size for one in small),
            sent_objects=len(plan.send) + len(small),
            reused=plan.backups,
            owner=this_process(),
            collections=source.collections,
            tier_moves=manifest.tier_moves,
            golden=source.golden,
        )

    def _log(self) -> tuple[BackupFile | None, bytes]:
        """The records after the manifest, and the running hash at their end."""
        source, manifest = self._source, self._source.manifest
        chain, parts = manifest.chain, []
        for _, record in log_files.taken(source.local, manifest.shard, manifest.flushed_seq, source.seq):
            parts.append(bytes(record))
            chain = chain_next(chain, record)
        if not parts:
            return None, chain
        name = local_paths.WalName(manifest.shard, manifest.flushed_seq + 1).name
        file = self._small(name, b"".join(parts), "wal")
        return msgspec.structs.replace(file, role="wal"), chain

    def _small(self, name: str, data: bytes, kind: str) -> BackupFile:
        stored = self._vault.put_bytes(self._progress.id, data)
        sha256 = hashlib.sha256(data).hexdigest()
        return BackupFile(name=name, role="local", size=len(data), sha256=sha256, kind=kind, object=stored)

    def _require_listed(self, document: BackupDocument) -> None:
        """FencedError if its timeline was ended, before the document was there, at an earlier commit."""
        for shard in document.shards:
            last = self._end_of_archive(document.timeline.id, shard.shard)
            if last is not None and last.kind == "fence" and last.last_seq < shard.seq:
                raise FencedError(
                    f"backup {document.id} is not listed: timeline {document.timeline.id} was ended at commit "
                    f"{last.last_seq} by a newer writer (epoch {last.epoch}) while it was made, and it holds commit "
                    f"{shard.seq}. What {self._source.local.root} holds is safe there: Repository.attach(path) makes "
                    "it a timeline of its own"
                )

    def _end_of_archive(self, timeline: str, shard: int) -> PartHeader | None:
        with suppress(CorruptionError):  # which needs a backup all the more
            return archive_reader.last_header(self._vault, timeline, shard)
        return None

    def _publish(self, document: BackupDocument) -> None:
        if self._lease.is_over:
            raise StateError("the backup's lease ran out before it was finished (a clock that jumped?); start it again")
        try:
            self._vault.create(paths.BackupKey(document.id).key, document)
        except ObjectExistsError as error:
            self._source.local.delete(local_paths.BACKUP_PROGRESS)
            raise StateError(
                f"backup {document.id} was given up by an expiry, because its lease had run out; start it again"
            ) from error
