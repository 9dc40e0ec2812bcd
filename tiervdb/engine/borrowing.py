"""What a clone borrows: pins in the cold stores of those who own the objects that it reads.

Whoever borrows pins first, and then looks whether the owner is deleting what it needs and whether all of it is there.
The owner writes down what it is about to delete, and then looks for pins (cold_store.py). So one of the two always sees
the other. A pin says "making" until the clone is complete; an intent in the clone's own directory names it until then.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from tiervdb.clock import Clock
from tiervdb.engine import identity as identities
from tiervdb.engine import intents
from tiervdb.engine.core import manifest_objects
from tiervdb.errors import CorruptionError, ObjectNotFoundError, StorageError, TiervdbError
from tiervdb.format import documents, paths
from tiervdb.format.documents import BorrowedPin, Identity, Intent, Pin
from tiervdb.format.manifest import Manifest
from tiervdb.storage import place
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore

INTENT = "clone"
_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class Loan:
    """Who borrows which objects, for which state. ``path``: where its directory will lie.

    ``keys``: what is pinned; what ``manifest`` names of them must be there, the rest is of older states.
    """

    holder: Identity
    path: str
    manifest: Manifest
    seq: int
    keys: frozenset[str]


def take(store: ObjectStore, local: LocalDir, loan: Loan, clock: Clock, rng: random.Random) -> tuple[BorrowedPin, ...]:
    """Pins the objects of a loan under the id of each database that owns one of them, in the state "making".

    ``local``: the borrower's directory, for the intent. Raises what ``require_whole`` raises; no pin is left then,
    unless the store went away.
    """
    pins = _pins(loan, clock, rng)
    if not pins:
        return ()
    keys = [key for key, _ in pins]
    intent = intents.record(local, loan.manifest.shard, keys, 0, clock, rng, INTENT)
    try:
        for key, pin in pins:
            store.put(key, documents.encode(pin))
        require_whole(store, loan.keys & set(manifest_objects(loan.manifest)))
    except Exception:
        give_back(store, local, intent)
        raise
    return tuple(BorrowedPin(database_id=owner, pin=pin) for owner, pin in map(_parts, keys))


def give_back(store: ObjectStore, local: LocalDir, intent: Intent) -> None:
    """Releases the pins of a loan that came to nothing; where the store is away, they stay and say "making"."""
    with suppress(TiervdbError):
        for key in intent.keys:
            store.delete(key)
        intents.forget(local, intent.id)


def finish(store: ObjectStore, local: LocalDir) -> list[str]:
    """The borrower is complete: its pins say so from now on. Returns the keys of those that are gone.

    Raises StorageError; repeating it goes on.
    """
    gone: list[str] = []
    for intent in _unfinished(local):
        for key in intent.keys:
            pin = _read(store, key)
            if pin is None:
                gone.append(key)
            elif pin.state == "making":
                store.put(key, documents.encode(msgspec.structs.replace(pin, state="held")))
        if not gone:
            intents.forget(local, intent.id)
    return gone


def finish_if_possible(store: ObjectStore, local: LocalDir) -> list[str]:
    """As ``finish``, where a store that is away is no reason to stop: opening the borrower tries again."""
    try:
        return finish(store, local)
    except StorageError as error:
        _log.warning(
            "%s: its pins still say that it is in the making; opening it again mends that: %s", local.root, error
        )
        return []


def abandon(store: ObjectStore, local: LocalDir, path: str) -> None:
    """Releases what an earlier attempt to borrow for this very path on this machine left when it was cut short."""
    for intent in _unfinished(local):
        found = [pin for key in intent.keys if (pin := _read(store, key)) is not None]
        if all(pin.state == "making" and _made_for(pin, path) for pin in found):
            for key in intent.keys:
                store.delete(key)
            intents.forget(local, intent.id)


def disown(local: LocalDir) -> None:
    """Forgets the unfinished loans of the database that this directory was copied from: they are its own."""
    for intent in _unfinished(local):
        intents.forget(local, intent.id)


def require_whole(store: ObjectStore, keys: Iterable[str]) -> None:
    """CorruptionError unless all these objects are there and nobody is deleting one. Call it once they are pinned."""
    wanted = set(keys)
    for owner in sorted({parsed.database_id for key in wanted if (parsed := _object(key))}):
        own = {key for key in wanted if key.startswith(f"{owner}/")}
        for found in list(store.list(paths.deletion_prefix(owner))):
            _require_not_deleted(store, found.key, own)
        missing = own - {found.key for found in store.list(f"{owner}/")}
        if missing:
            raise CorruptionError(
                f"{store.url} no longer holds {min(missing)}: database {owner}, which owned it, has deleted it since "
                "this copy was made. Use db.clone() there, which pins what the copy needs"
            )


def _require_not_deleted(store: ObjectStore, key: str, wanted: set[str]) -> None:
    try:
        deletion = documents.decode_intent(store.get(key), f"{store.url}/{key}")
    except ObjectNotFoundError:
        return  # it is done
    taken = wanted & set(deletion.keys)
    if taken:
        raise CorruptionError(
            f"{min(taken)} in {store.url} is being deleted by the database that owns it, or was when that stopped "
            f"({key}). Open that database and call maintain(), then try again, or use db.clone() there"
        )


def _pins(loan: Loan, clock: Clock, rng: random.Random) -> list[tuple[str, Pin]]:
    keys_by_owner: dict[str, list[str]] = {}
    for key in sorted(loan.keys):
        parsed = _object(key)
        if parsed is not None:
            keys_by_owner.setdefault(parsed.database_id, []).append(key)
    pins = [(owner, _pin(loan, own, clock, rng)) for owner, own in keys_by_owner.items()]
    return [(paths.ColdPinKey(owner, pin.id).key, pin) for owner, pin in pins]


def _pin(loan: Loan, keys: Sequence[str], clock: Clock, rng: random.Random) -> Pin:
    return Pin(
        id=paths.random_id(rng),
        kind="clone",
        timeline=loan.manifest.timeline,
        shard=loan.manifest.shard,
        manifest_version=loan.manifest.version,
        seq=loan.seq,
        time_us=loan.manifest.flushed_time_us,
        created_us=clock.now_us(),
        owner=identities.this_process(),
        holder=loan.holder.database_id,
        path=loan.path,
        state="making",
        keys=tuple(keys),
    )


def _read(store: ObjectStore, key: str) -> Pin | None:
    try:
        return documents.decode_pin(store.get(key), f"{store.url}/{key}")
    except ObjectNotFoundError:
        return None


def _made_for(pin: Pin, path: str) -> bool:
    """By a process of this machine, for a database in this directory."""
    return pin.owner is not None and (pin.owner.host, pin.path) == (place.owner()[1], path)


def _unfinished(local: LocalDir) -> list[Intent]:
    return [intent for intent in intents.listed(local) if intent.kind == INTENT]


def _object(key: str) -> paths.ObjectKey | None:
    parsed = paths.parse_key(key)
    return parsed if isinstance(parsed, paths.ObjectKey) else None


def _parts(key: str) -> tuple[str, str]:
    parsed = paths.parse_key(key)
    assert isinstance(parsed, paths.ColdPinKey)
    return parsed.database_id, parsed.id
