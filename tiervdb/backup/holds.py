"""Holds: what keeps backups from expiring, whatever the policy says, until it is released."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from tiervdb.backup import holdings, listing
from tiervdb.backup.vault import Vault
from tiervdb.engine.identity import this_process
from tiervdb.errors import BackupNotFoundError, InvalidInputError
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_operations as operations
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument
from tiervdb.format.repository_operations import HoldDocument
from tiervdb.types import to_datetime


@dataclass(frozen=True)
class Hold:
    """Keeps a ``backup``, or every one of a ``label``, also later ones. ``released``: when it ended; None: it holds."""

    id: str
    backup: str | None
    label: str | None
    reason: str
    created: datetime
    user: str
    host: str
    released: datetime | None


def hold(vault: Vault, backup: str | None, label: str | None, reason: str) -> Hold:
    """Writes a hold. BackupNotFoundError for a backup that is not listed."""
    if (backup is None) == (label is None):
        raise InvalidInputError("hold: give a backup's id, or label= for all of that label, also later ones")
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidInputError("hold: say why, by reason=; whoever wonders later will read it")
    found = None if backup is None else listing.find(list(holdings.readable(vault)[0].backups), backup).id
    document = HoldDocument(
        id=local_paths.random_id(vault.rng),
        created_us=vault.clock.now_us(),
        owner=this_process(),
        reason=reason,
        backup=found,
        label=label,
    )
    vault.create(paths.HoldKey(document.id).key, document)
    if found is not None and not listing.is_listed(vault, found):  # after: an expiry that began before may not see it
        vault.store.delete(paths.HoldKey(document.id).key)
        raise BackupNotFoundError(f"backup {found} was expired just now; there is nothing to hold")
    return _value(document)


def release(vault: Vault, name: str) -> list[Hold]:
    """Ends a hold by its id, or all of a backup or label. BackupNotFoundError if there is none."""
    labelled = {backup.id for backup in holdings.readable(vault)[0].backups if backup.label == name}
    ended = [d for d in active(every(vault)) if _is_named(d, name) or d.backup in labelled]
    if not ended:
        raise BackupNotFoundError(f"no hold is, or keeps, {name!r}; holds() lists them")
    now_us, owner = vault.clock.now_us(), this_process()
    done = [msgspec.structs.replace(document, released_us=now_us, released_by=owner) for document in ended]
    for document in done:
        vault.replace(paths.HoldKey(document.id).key, document)
    return [_value(document) for document in done]


def every(vault: Vault) -> list[HoldDocument]:
    """All of them, released ones too."""
    return vault.read_all(paths.HOLDS, operations.decode_hold)


def listed(vault: Vault) -> list[Hold]:
    """Those that hold, oldest first."""
    return [_value(document) for document in sorted(active(every(vault)), key=lambda d: (d.created_us, d.id))]


def active(found: Iterable[HoldDocument]) -> list[HoldDocument]:
    return [document for document in found if document.released_us is None]


def held_backups(backups: Iterable[BackupDocument], found: Sequence[HoldDocument]) -> dict[str, str]:
    """The backups that are kept, and why. Pure."""
    holding = active(found)
    return {
        backup.id: hold.reason
        for backup in backups
        for hold in holding
        if hold.backup == backup.id or (hold.label is not None and hold.label == backup.label)
    }


def _is_named(document: HoldDocument, name: str) -> bool:
    if name in {document.id, document.backup, document.label}:
        return True
    ids = [text for text in (document.id, document.backup) if text is not None]
    return len(name) >= 4 and any(text.startswith(name) for text in ids)


def _value(document: HoldDocument) -> Hold:
    return Hold(
        id=document.id,
        backup=document.backup,
        label=document.label,
        reason=document.reason,
        created=to_datetime(document.created_us),
        user=document.owner.user,
        host=document.owner.host,
        released=None if document.released_us is None else to_datetime(document.released_us),
    )
