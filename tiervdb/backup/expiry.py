"""Expiry: backups are unlisted, and what nobody needs any more is deleted.

Unlisting comes first, then the look for leases and pins; whoever reads does it the other way round (leases.py). So one
of the two always sees the other. Nothing is deleted that a listed backup, a lease or a pin needs, or that might be
needed because something cannot be read: expiry fails closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiervdb.backup import holdings, leases, listing
from tiervdb.backup.holdings import Holdings, shard_of
from tiervdb.backup.vault import Vault
from tiervdb.errors import ObjectExistsError, StateError
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument, Expiration, Lease, RepositoryPin, Tombstone


@dataclass(frozen=True)
class Protected:
    """What leases and pins hold: backups by id, timelines, and backups that are being made."""

    backups: frozenset[str]
    timelines: frozenset[str]
    making: frozenset[str]


@dataclass(frozen=True)
class SweepPlan:
    """Keys to delete: objects, parts of archived logs, and leases that ended. ``give_up``: backups to be tombstoned
    before, for their leases ended without a document."""

    objects: tuple[str, ...]
    parts: tuple[str, ...]
    leases: tuple[str, ...]
    give_up: tuple[str, ...]


@dataclass(frozen=True)
class ExpiryResult:
    """What was, or with ``dry_run`` would be, unlisted and deleted. Objects that others still need stay.

    ``objects``, ``bytes``: of backups; ``parts``: of the archived log before the oldest backup that is left.
    """

    backups: tuple[str, ...]
    objects: int
    bytes: int
    parts: int
    dry_run: bool


def expire(vault: Vault, wanted: Sequence[str], reason: str, dry_run: bool) -> ExpiryResult:
    """Unlists backups and deletes what nobody needs then. StateError for the last one that is listed."""
    held = holdings.read(vault)
    chosen = [listing.find(list(held.backups), name) for name in wanted]
    rest = [backup for backup in held.backups if backup not in chosen]
    if chosen and not rest:
        raise StateError(
            f"expire: {chosen[-1].id} is the last backup in {vault.url}, and without it nothing can be restored; make "
            "another one first"
        )
    sizes = {found.key: found.size for found in vault.store.list(paths.DATA)}
    if dry_run:
        done = _planned(vault, _uploaders(vault), frozenset(backup.id for backup in chosen))
    else:
        unlist(vault, chosen, reason)
        done = sweep(vault)
    return ExpiryResult(
        backups=tuple(backup.id for backup in chosen),
        objects=len(done.objects),
        bytes=sum(sizes.get(key, 0) for key in done.objects),
        parts=len(done.parts),
        dry_run=dry_run,
    )


def unlist(vault: Vault, backups: Iterable[BackupDocument], reason: str) -> None:
    """Says of each that it is no longer listed. Its objects stay until a sweep finds that nobody needs them."""
    for backup in backups:
        expiration = Expiration(id=backup.id, created_us=vault.clock.now_us(), reason=reason, owner=leases.owner())
        try:
            vault.create(paths.ExpirationKey(backup.id).key, expiration)
        except ObjectExistsError:
            continue  # another expiry was faster


def sweep(vault: Vault) -> SweepPlan:
    """Deletes what no listed backup, lease or pin needs; says what that was."""
    uploaders = _uploaders(vault)  # before the leases: whoever begins to send later is not in it
    plan = _planned(vault, uploaders)
    given_up = [backup for backup in plan.give_up if _gave_up(vault, backup)]
    again = _planned(vault, uploaders)  # a document or lease may have come meanwhile
    unsafe = set(again.give_up) - set(given_up)
    done = SweepPlan(
        objects=tuple(key for key in again.objects if _uploader(key) not in unsafe),
        parts=again.parts,
        leases=again.leases,
        give_up=tuple(given_up),
    )
    for key in (*done.objects, *done.parts, *done.leases):
        vault.store.delete(key)
    return done


def plan(
    held: Holdings,
    objects: Mapping[str, Sequence[str]],
    known: Mapping[str, BackupDocument | Tombstone],
    protected: Protected,
    ended: Sequence[str],
) -> SweepPlan:
    """Pure. ``objects``: keys by the backup that sent them. ``known``: every document, listed or not. ``ended``: ids of
    leases that are over."""
    listed = {backup.id for backup in held.backups}
    keeping = [b for i, b in known.items() if isinstance(b, BackupDocument) and i in listed | protected.backups]
    needed = {file.object.key for backup in keeping for file in backup.files if file.object is not None}
    found, give_up = [], []
    for uploader, keys in sorted(objects.items()):
        if uploader in protected.making:
            continue
        if uploader not in known:
            give_up.append(uploader)
        found += [key for key in keys if key not in needed]
    return SweepPlan(
        objects=tuple(found),
        parts=tuple(_needless_parts(held, keeping, protected)),
        leases=tuple(paths.LeaseKey(lease).key for lease in ended),
        give_up=tuple(give_up),
    )


def _planned(vault: Vault, uploaders: Mapping[str, Sequence[str]], without: frozenset[str] = frozenset()) -> SweepPlan:
    """``without``: backups to think away."""
    now_us = vault.clock.now_us()
    every = vault.read_all(paths.LEASES, documents.decode_lease)
    running = [lease for lease in every if lease.expires_us > now_us]
    protected = protected_by(running, leases.pinned(vault))
    held = holdings.read(vault)  # after the leases: a backup releases its own when its document is there
    held = Holdings(held.lineage, tuple(b for b in held.backups if b.id not in without), held.archived)
    known = {b.id: b for b in vault.read_all(paths.BACKUPS, documents.decode_backup)}
    ended = [lease.id for lease in every if lease.expires_us <= now_us]
    return plan(held, uploaders, known, protected, ended)


def protected_by(running: Sequence[Lease], pins: Sequence[RepositoryPin]) -> Protected:
    """What these hold."""
    holders: list[Lease | RepositoryPin] = [*running, *pins]
    return Protected(
        backups=frozenset(backup for holder in holders for backup in holder.backups),
        timelines=frozenset(timeline for holder in holders for timeline in holder.timelines),
        making=frozenset(lease.id for lease in running if lease.kind in {"backup", "copy"}),
    )


def _needless_parts(held: Holdings, keeping: Sequence[BackupDocument], protected: Protected) -> Iterable[str]:
    """Parts before the manifests of all backups that are kept; a timeline's last number and its fence stay."""
    oldest: dict[str, int] = {}
    for backup in keeping:
        flushed = shard_of(backup).flushed_seq
        for line in (backup.timeline, *backup.ancestors):
            oldest[line.id] = min(oldest.get(line.id, flushed), flushed)
    for descendant in held.lineage.timelines.values():
        for ancestor in descendant.ancestors:
            if descendant.timeline.id in oldest:
                bound = oldest[descendant.timeline.id]
                oldest[ancestor.id] = min(oldest.get(ancestor.id, bound), bound)
    for timeline, archived in held.archived.items():
        if timeline in protected.timelines or timeline not in oldest:
            continue  # without any backup, one that is being made may need it
        for part in archived.parts[:-1]:
            if part.last_seq <= oldest[timeline]:
                yield paths.PartKey(timeline, part.shard, part.n).key


def _uploaders(vault: Vault) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in vault.store.list(paths.DATA):
        parsed = paths.parse(entry.key)
        if isinstance(parsed, paths.DataKey):
            found.setdefault(parsed.uploader, []).append(entry.key)
    return found


def _uploader(key: str) -> str:
    parsed = paths.parse(key)
    assert isinstance(parsed, paths.DataKey)
    return parsed.uploader


def _gave_up(vault: Vault, backup: str) -> bool:
    """Whether the tombstone came before the document: of the two one wins."""
    now_us, why = vault.clock.now_us(), "its lease ended before it was finished"
    tombstone = Tombstone(id=backup, created_us=now_us, reason=why, owner=leases.owner())
    try:
        vault.create(paths.BackupKey(backup).key, tombstone)
    except ObjectExistsError:
        return isinstance(vault.find(paths.BackupKey(backup).key, documents.decode_backup), Tombstone)
    return True
