"""Expiry: backups are unlisted, and what nobody needs any more is deleted.

Unlisting comes first, then the look for leases and pins; whoever reads does it the other way round (leases.py). So one
of the two always sees the other. Nothing is deleted that a listed backup, a lease or a pin needs, or that might be
needed because something cannot be read: expiry fails closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiervdb.backup import holdings, leases, retention
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.side_by_side import each
from tiervdb.backup.vault import Vault
from tiervdb.engine.identity import this_process
from tiervdb.errors import ObjectExistsError
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument, Expiration, Lease, RepositoryPin, Tombstone

_AT_ONCE = 32


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


def unlist(vault: Vault, backups: Iterable[BackupDocument], reason: str) -> None:
    """Says of each that it is no longer listed. Its objects stay until a sweep finds that nobody needs them."""
    for backup in backups:
        expiration = Expiration(id=backup.id, created_us=vault.clock.now_us(), reason=reason, owner=this_process())
        try:
            vault.create(paths.ExpirationKey(backup.id).key, expiration)
        except ObjectExistsError:
            continue  # another expiry was faster


def sweep(vault: Vault, log_from: Mapping[str, int]) -> SweepPlan:
    """Deletes what no listed backup, lease or pin needs; says what that was. ``log_from``: by timeline, the seq up to
    which its log may go, also where a backup that is kept could be gone on from."""
    uploaders = _uploaders(vault)  # before the leases: whoever begins to send later is not in it
    plan = _planned(vault, uploaders, log_from)
    given_up = [backup for backup in plan.give_up if _gave_up(vault, backup)]
    again = _planned(vault, uploaders, log_from)  # a document or lease may have come meanwhile
    unsafe = set(again.give_up) - set(given_up)
    done = SweepPlan(
        objects=tuple(key for key in again.objects if _uploader(key) not in unsafe),
        parts=again.parts,
        leases=again.leases,
        give_up=tuple(given_up),
    )
    each(vault.store.delete, (*done.objects, *done.parts, *done.leases), _AT_ONCE, "tiervdb-expiry")
    return done


def plan(
    held: Holdings,
    objects: Mapping[str, Sequence[str]],
    known: Mapping[str, BackupDocument | Tombstone],
    protected: Protected,
    ended: Sequence[str],
    log_from: Mapping[str, int],
) -> SweepPlan:
    """Pure. ``objects``: keys by the backup that sent them. ``known``: every document, listed or not. ``ended``: ids of
    leases that are over. ``log_from``: see ``sweep``."""
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
        parts=tuple(_needless_parts(held, log_from, protected)) if keeping else (),  # else one being made may need them
        leases=tuple(paths.LeaseKey(lease).key for lease in ended),
        give_up=tuple(give_up),
    )


def _planned(vault: Vault, uploaders: Mapping[str, Sequence[str]], log_from: Mapping[str, int]) -> SweepPlan:
    now_us = vault.clock.now_us()
    every = vault.read_all(paths.LEASES, documents.decode_lease)
    running = [lease for lease in every if lease.expires_us > now_us]
    protected = protected_by(running, leases.pinned(vault))
    held = holdings.read(vault)  # after the leases: a backup releases its own when its document is there
    known = {b.id: b for b in vault.read_all(paths.BACKUPS, documents.decode_backup)}
    ended = [lease.id for lease in every if lease.expires_us <= now_us]
    return plan(held, uploaders, known, protected, ended, log_from)


def protected(vault: Vault) -> Protected:
    """What the leases and pins that are there now hold."""
    return protected_by(leases.running(vault), leases.pinned(vault))


def protected_by(running: Sequence[Lease], pins: Sequence[RepositoryPin]) -> Protected:
    """What these hold."""
    holders: list[Lease | RepositoryPin] = [*running, *pins]
    return Protected(
        backups=frozenset(backup for holder in holders for backup in holder.backups),
        timelines=frozenset(timeline for holder in holders for timeline in holder.timelines),
        making=frozenset(lease.id for lease in running if lease.kind in {"backup", "copy"}),
    )


def _needless_parts(held: Holdings, log_from: Mapping[str, int], protected: Protected) -> Iterable[str]:
    for timeline, seq in log_from.items():
        if timeline in held.archived and timeline not in protected.timelines:
            yield from (part.key for part in retention.needless(held.archived[timeline], seq))


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
    tombstone = Tombstone(id=backup, created_us=now_us, reason=why, owner=this_process())
    try:
        vault.create(paths.BackupKey(backup).key, tombstone)
    except ObjectExistsError:
        return isinstance(vault.find(paths.BackupKey(backup).key, documents.decode_backup), Tombstone)
    return True
