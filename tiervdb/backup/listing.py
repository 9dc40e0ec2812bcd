"""Which backups a repository lists: a document, no tombstone in its place, no expiration, not beyond a fence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tiervdb.backup.vault import Damaged, Vault
from tiervdb.errors import BackupNotFoundError
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument

FenceOf = Callable[[str, int], int | None]  # timeline, shard -> the last seq before its fence; None: no fence


def unexpired(vault: Vault, damaged: Damaged | None = None) -> list[BackupDocument]:
    """All backups that have a document and no expiration, oldest first. Raises StorageError, CorruptionError;
    ``damaged``: see ``Vault.read_all``."""
    found = vault.read_all(paths.BACKUPS, documents.decode_backup, damaged)
    gone = expired(vault)  # after: what expires now has a document, too
    backups = [b for b in found if isinstance(b, BackupDocument) and b.id not in gone]
    return sorted(backups, key=lambda b: (b.created_us, b.finished_us, b.shards[0].seq, b.id))


def listed(backups: Sequence[BackupDocument], fence_of: FenceOf) -> list[BackupDocument]:
    """Those of them that are not beyond a fence."""
    return [backup for backup in backups if not _beyond(backup, fence_of)]


def is_listed(vault: Vault, backup_id: str) -> bool:
    """Whether a backup that was listed still is."""
    return vault.find(paths.ExpirationKey(backup_id).key, documents.decode_expiration) is None


def settled(vault: Vault) -> set[str]:
    """The ids of all backups that are listed or will never be again: those with a document, tombstone or expiration."""
    found = (paths.parse(entry.key) for entry in vault.store.list(paths.BACKUPS))
    return {key.id for key in found if isinstance(key, paths.BackupKey)} | expired(vault)


def find(backups: list[BackupDocument], wanted: str) -> BackupDocument:
    """The backup of an id, of an id's beginning that only it has, or of a label. BackupNotFoundError."""
    if not isinstance(wanted, str):
        raise BackupNotFoundError(f"{wanted!r} is no backup's id or label; backups() lists them")
    fitting = [b for b in backups if wanted in {b.id, b.label}]
    if not fitting and len(wanted) >= 4:
        fitting = [b for b in backups if b.id.startswith(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        same = ", ".join(b.id for b in fitting)
        raise BackupNotFoundError(f"{wanted!r} names {len(fitting)} backups ({same}); give one of these ids")
    known = ", ".join(b.id[:12] for b in backups[-5:]) or "none"
    raise BackupNotFoundError(f"there is no backup {wanted!r} here; the newest are: {known}")


def expired(vault: Vault) -> set[str]:
    """By their keys alone, so that one whose reason cannot be read is not listed again."""
    found = (paths.parse(entry.key) for entry in vault.store.list(paths.EXPIRATIONS))
    return {key.id for key in found if isinstance(key, paths.ExpirationKey)}


def _beyond(backup: BackupDocument, fence_of: FenceOf) -> bool:
    """Made by a writer that had been shut out: what it holds after the fence is not the database's history."""
    for shard in backup.shards:
        fence = fence_of(backup.timeline.id, shard.shard)
        if fence is not None and shard.seq > fence:
            return True
    return False
