"""Expiry by a policy or by names: planned from what is known, then run on what the repository says at that moment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from tiervdb.backup import expiry, holdings, holds, listing, locking, merging, retention, windows
from tiervdb.backup.catalog import publishing
from tiervdb.backup.catalog.facts import Facts
from tiervdb.backup.expiry import Protected
from tiervdb.backup.holdings import Holdings, shard_of
from tiervdb.backup.policy import Policy
from tiervdb.backup.references import release_references
from tiervdb.backup.retention import Decision, RetentionPlan
from tiervdb.backup.values import RestorableWindow, window_value
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError, NewerFormatError, StateError
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument
from tiervdb.storage.object_store import ObjectStore
from tiervdb.types import to_datetime

_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class Named:
    """Backups by id, its beginning, or label, and why they go. Of the archived log nothing goes: a policy does that."""

    names: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class ExpiryDecision:
    """About one backup. ``reasons``: why it stays, or goes."""

    backup: str
    label: str | None
    kind: str
    time: datetime
    keep: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ExpiryResult:
    """What was, or with ``dry_run`` would be, unlisted and deleted. Objects that others still need stay.

    ``backups``: ids. ``objects``, ``bytes``: of backups; ``parts``: of the archived log. ``decisions``: about every
    listed backup, newest first. ``vanishing``: what can be restored now, and not afterwards. ``merged_parts``: of the
    log that stays, and became part of fewer and larger objects. ``locked_objects``: those that the store refuses to
    delete for the policy's ``lock`` from now on.
    """

    backups: tuple[str, ...]
    objects: int
    bytes: int
    parts: int
    dry_run: bool
    decisions: tuple[ExpiryDecision, ...]
    vanishing: tuple[RestorableWindow, ...]
    merged_parts: int = 0
    locked_objects: int = 0


def plan(found: Facts, what: Policy | Named) -> ExpiryResult:
    """What an expiry would do, by what is known of the documents. What an earlier one could not delete comes on top.

    Raises BackupNotFoundError, StateError; CorruptionError for a hold that cannot be read."""
    held = found.held
    for damaged in found.passing.damaged_holds:
        raise damaged
    decided = decide(held, what, holds.held_backups(held.backups, found.passing.holds), found.now_us)
    running = [lease for lease in found.passing.leases if lease.expires_us > found.now_us]
    protected = expiry.protected_by(running, found.passing.pins)
    objects, size = _freed(found, decided.expiring, protected)
    parts = sum(
        len(retention.needless(held.archived[timeline], seq))
        for timeline, seq in decided.log_from.items()
        if timeline in held.archived and timeline not in protected.timelines
    )
    kept = retention.rest(held, decided.expiring, decided.log_from)
    merged = sum(map(len, merging.plan_all(kept, found.now_us)))
    return _result(decided, objects, size, parts, dry_run=True, merged=merged)


def run(vault: Vault, what: Policy | Named, cold: Callable[[str], ObjectStore]) -> ExpiryResult:
    """Unlists and deletes; ``cold`` opens a source's cold store, where backups by reference have pins.

    Raises what ``plan`` raises, and CorruptionError where something cannot be read: expiry fails closed.
    """
    expiry.protected(vault)  # all of this must be readable before anything is unlisted
    held = holdings.read(vault)
    decided = decide(held, what, holds.held_backups(held.backups, holds.every(vault)), vault.clock.now_us())
    sizes = {found.key: found.size for found in vault.store.list(paths.DATA)}
    _require_good_one(vault, held, decided.expiring, sizes)
    kept = retention.rest(held, decided.expiring, decided.log_from)
    merged = sum(len(group) for group in merging.plan_all(kept, vault.clock.now_us()) if merging.write(vault, group))
    locked = 0
    if isinstance(what, Policy) and what.lock is not None:
        locked = locking.extend(vault, held, kept, vault.clock.now_us() + what.us("lock"))
    why = {decision.backup: "; ".join(decision.reasons) for decision in decided.decisions}
    for backup in held.backups:
        if backup.id in decided.expiring:
            expiry.unlist(vault, [backup], why[backup.id])
    gone = _without_held(vault, [backup for backup in held.backups if backup.id in decided.expiring])
    read = expiry.protected(vault).backups  # after: whoever reads takes a lease first, and looks then
    release_references([backup for backup in gone if backup.id not in read], cold)
    swept = expiry.sweep(vault, decided.log_from)
    merging.delete_replaced(vault)
    _sweep_catalogs(vault)
    size = sum(sizes.get(key, 0) for key in swept.objects)
    return _result(decided, len(swept.objects), size, len(swept.parts), dry_run=False, merged=merged, locked=locked)


def _without_held(vault: Vault, unlisted: Sequence[BackupDocument]) -> list[BackupDocument]:
    """Who holds writes first and looks then, as with leases: what came to be held meanwhile is listed again."""
    held_back = holds.held_backups(unlisted, holds.every(vault))
    for backup in held_back:
        vault.store.delete(paths.ExpirationKey(backup).key)
    return [backup for backup in unlisted if backup.id not in held_back]


def _sweep_catalogs(vault: Vault) -> None:
    try:
        publishing.sweep(vault)
    except (CorruptionError, NewerFormatError) as error:
        _log.warning("%s: old catalogs stay until the next publication: %s", vault.url, error)


def decide(held: Holdings, what: Policy | Named, held_back: Mapping[str, str], now_us: int) -> RetentionPlan:
    """Pure. ``held_back``: backups that a hold keeps, with its reason."""
    if isinstance(what, Policy):
        return retention.plan(held, held_back, what, now_us)
    return _named(held, what, held_back)


def _require_good_one(vault: Vault, held: Holdings, expiring: Sequence[str], sizes: Mapping[str, int]) -> None:
    """StateError if no backup that stays has all its objects, and one that goes has."""

    def is_whole(backup: BackupDocument) -> bool:
        stored = [file.object for file in backup.files if file.object is not None]
        return all(sizes.get(one.key) == one.stored_size for one in stored)

    gone = set(expiring)
    keeping = [backup for backup in held.backups if backup.id not in gone]
    good = next((backup.id for backup in held.backups if backup.id in gone and is_whole(backup)), None)
    if good is not None and not any(map(is_whole, keeping)):
        raise StateError(
            f"expire: nothing was expired, for {good} is the last backup in {vault.url} that has all its objects; make "
            "another one first. `tiervdb verify` says what the others lack"
        )


def _named(held: Holdings, what: Named, held_back: Mapping[str, str]) -> RetentionPlan:
    chosen = [listing.find(list(held.backups), name) for name in what.names]
    gone = {backup.id for backup in chosen}
    for backup in chosen:
        if backup.id in held_back:
            raise StateError(f"expire: {backup.id} is held ({held_back[backup.id]}); release it first")
    keeping = [backup for backup in held.backups if backup.id not in gone]
    if chosen and not keeping:
        raise StateError(
            f"expire: {chosen[-1].id} is the last backup here, and without it nothing can be restored; make another "
            "one first"
        )
    decisions = [_about(backup, what, backup.id in gone) for backup in held.backups]
    vanishing = retention.lost(windows.windows(held), windows.windows(retention.rest(held, gone, {})))
    return RetentionPlan(retention.newest_first(decisions), {}, tuple(vanishing))


def _about(backup: BackupDocument, what: Named, goes: bool) -> Decision:
    why = what.reason if goes else "not named"
    return Decision(backup.id, backup.label, backup.kind, shard_of(backup).time_us, keep=not goes, reasons=(why,))


def _freed(found: Facts, expiring: Sequence[str], protected: Protected) -> tuple[int, int]:
    """Objects, and their bytes, that only backups list which go, and nobody reads."""
    gone = set(expiring) - protected.backups
    files = found.known.files
    needed = np.zeros(len(files), np.bool_)
    for backup in found.held.backups:
        if backup.id not in gone:
            needed[found.known.listing(backup.id)] = True
    listed = np.zeros(len(files), np.bool_)
    for expired in gone:
        listed[found.known.listing(expired)] = True
    kept = {files[n].key for n in np.flatnonzero(needed).tolist()}
    free = {files[n].key: files[n].stored_size for n in np.flatnonzero(listed & ~needed).tolist()}
    sizes = [size for key, size in free.items() if key is not None and key not in kept]
    return len(sizes), sum(sizes)


def _result(
    decided: RetentionPlan, objects: int, size: int, parts: int, *, dry_run: bool, merged: int, locked: int = 0
) -> ExpiryResult:
    return ExpiryResult(
        backups=decided.expiring,
        objects=objects,
        bytes=size,
        parts=parts,
        dry_run=dry_run,
        decisions=tuple(
            ExpiryDecision(d.backup, d.label, d.kind, to_datetime(d.time_us), d.keep, d.reasons)
            for d in decided.decisions
        ),
        vanishing=tuple(window_value(window) for window in decided.vanishing),
        merged_parts=merged,
        locked_objects=locked,
    )
