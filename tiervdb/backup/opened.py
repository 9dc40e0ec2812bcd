"""Creating, opening and recognising a repository: its document, its probe, and the keys that open it."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tiervdb.backup import keys
from tiervdb.backup.keys import Key
from tiervdb.backup.vault import Vault
from tiervdb.clock import Clock
from tiervdb.engine import store_record
from tiervdb.errors import (
    AlreadyExistsError,
    CorruptionError,
    InvalidInputError,
    NotARepositoryError,
    ObjectExistsError,
    ObjectNotFoundError,
    SingleWriterWarning,
    WrongKeyError,
)
from tiervdb.format import documents as local_documents
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.documents import StoreRecord
from tiervdb.format.repository_documents import KeySlotDocument, RepositoryDocument
from tiervdb.storage.first_look import first_look
from tiervdb.storage.object_store import ObjectStore

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True)
class OpenRepository:
    """A repository that was recognised, and unlocked if it is encrypted."""

    vault: Vault
    document: RepositoryDocument

    @property
    def id(self) -> str:
        return self.document.id


def find(store: ObjectStore) -> RepositoryDocument | None:
    """The document of the repository in a store; None if there is none. Raises StorageError, CorruptionError."""
    try:
        data = store.get(paths.REPOSITORY)
    except ObjectNotFoundError:
        return None
    return documents.decode_repository(data, f"{store.url}/{paths.REPOSITORY}")


def open_in(store: ObjectStore, key: Key | None, clock: Clock, rng: random.Random) -> OpenRepository:
    """NotARepositoryError if there is none, WrongKeyError if it is encrypted and the key does not open it.

    A key for one that is not encrypted is an error, too: whoever can write to the store must not be able to say so.
    """
    document = find(store)
    if document is None:
        raise NotARepositoryError(
            f"{store.url} is not a tiervdb repository: it has no {paths.REPOSITORY}. Repository.create(url) makes one, "
            "and so does tiervdb.open(path, repository=url) for a new database"
        )
    if key is not None and not document.encrypted:
        raise WrongKeyError(
            f"{store.url} says that it is not encrypted, but {key} was given: leave the key out if it is meant to be "
            "plain. If it was made encrypted, somebody else wrote there: trust nothing in it, and take an off-site copy"
        )
    secret = _secret(store, document, key) if document.encrypted else None
    return OpenRepository(Vault(store, secret, clock, rng), document)


def create_in(
    store: ObjectStore, key: Key | None, clock: Clock, rng: random.Random, random_bytes: RandomBytes = os.urandom
) -> OpenRepository:
    """Makes a repository, encrypted if a key is given. AlreadyExistsError if there is one, or other objects are.

    The store is probed: one without conditional writes is used, and the record says so.
    """
    if find(store) is not None:
        raise AlreadyExistsError(f"{store.url} is a repository already; open it with Repository(url)")
    other = next((found.key for found in store.list("") if not found.key.startswith(paths.KEYS)), None)
    if other is not None:
        raise AlreadyExistsError(f"{store.url} is not empty ({other}): give a prefix or directory of its own")
    repository_id = local_paths.random_id(rng)
    probe = _probed(store, clock, rng)
    document = RepositoryDocument(id=repository_id, created_us=clock.now_us(), encrypted=key is not None, probe=probe)
    secret = None
    if key is not None:
        secret = random_bytes(32)
        slot = keys.new_slot(key, secret, repository_id, clock, rng, None)
        store.put_if_absent(paths.KeySlot(slot.id).key, local_documents.encode(slot))
    try:
        store.put_if_absent(paths.REPOSITORY, local_documents.encode(document))
    except ObjectExistsError as error:
        raise AlreadyExistsError(f"{store.url} became a repository just now; open it with Repository(url)") from error
    return OpenRepository(Vault(store, secret, clock, rng), document)


def _probed(store: ObjectStore, clock: Clock, rng: random.Random) -> StoreRecord:
    """The short probe. CorruptionError if the store does not give back what was written."""
    key = f"probe/{local_paths.random_id(rng)}"
    return store_record.of_first_look(first_look(store, key, rng.randbytes(32), rng.randbytes(32)), clock)


def key_ids(store: ObjectStore) -> list[str]:
    """The ids of all key slots of an encrypted repository."""
    return sorted(entry.key.removeprefix(paths.KEYS) for entry in store.list(paths.KEYS))


def add_key(
    store: ObjectStore, document: RepositoryDocument, known: Key, new: Key, clock: Clock, rng: random.Random
) -> str:
    """Lets one more key open the repository; the id of its slot. The data stays as it is."""
    secret = _secret(store, document, known)
    slot = keys.new_slot(new, secret, document.id, clock, rng, None)
    store.put_if_absent(paths.KeySlot(slot.id).key, local_documents.encode(slot))
    return slot.id


def remove_key(store: ObjectStore, document: RepositoryDocument, known: Key, slot_id: str) -> None:
    """Takes a key slot away; ``known`` must be a key that still opens the repository then. WrongKeyError if not.

    InvalidInputError if there is no such slot. A damaged one goes as well.
    """
    if slot_id not in (ids := key_ids(store)):
        raise InvalidInputError(f"{store.url} has no key {slot_id!r}; it has: {', '.join(ids)}")
    slots, _ = _slots(store)
    keys.open_slots(known, [slot for slot in slots if slot.id != slot_id], document.id)
    store.delete(f"{paths.KEYS}{slot_id}")


def damaged_slots(store: ObjectStore) -> dict[str, CorruptionError]:
    """What is wrong with key slots that cannot be read, by their keys in the store."""
    return _slots(store)[1]


def is_half_probed(store: ObjectStore) -> bool:
    """Whether the store holds a repository of whose store only the first look is known."""
    document = find(store)
    return document is not None and (document.probe is None or document.probe.by != "doctor")


def record_probe(store: ObjectStore, probe: StoreRecord) -> bool:
    """Keeps what a later probe found in the repository's document; False if there is no repository in the store."""
    document = find(store)
    if document is None:
        return False
    store.put(paths.REPOSITORY, local_documents.encode(msgspec.structs.replace(document, probe=probe)))
    return True


def warn_if_single_writer(opened: OpenRepository) -> None:
    """Says that nothing but care keeps a second writer away, where the store cannot create conditionally."""
    probe = opened.document.probe
    if not opened.vault.store.conditional or (probe is not None and not probe.conditional):
        warnings.warn(
            f"{opened.vault.url} has no conditional writes: never let two machines or copies archive there at once "
            "(`tiervdb doctor` says more)",
            SingleWriterWarning,
            stacklevel=2,
        )


def _secret(store: ObjectStore, document: RepositoryDocument, key: Key | None) -> bytes:
    if key is None:
        raise WrongKeyError(
            f"{store.url} is encrypted: give key=Key.file(path), Key.env(name) or Key.command(command), or on the "
            "command line --key-file, --key-env or --key-command"
        )
    slots, damaged = _slots(store)
    try:
        return keys.open_slots(key, slots, document.id)
    except WrongKeyError as error:
        if not damaged:
            raise
        broken = "; ".join(map(str, damaged.values()))
        raise CorruptionError(f"{error}. It may open one of these, but they are damaged: {broken}") from error


def _slots(store: ObjectStore) -> tuple[list[KeySlotDocument], dict[str, CorruptionError]]:
    """The key slots that can be read, and what is wrong with the others: a key opens the door beside a broken one."""
    slots, damaged = [], {}
    for key in (f"{paths.KEYS}{id}" for id in key_ids(store)):
        try:
            slots.append(documents.decode_key_slot(store.get(key), f"{store.url}/{key}"))
        except CorruptionError as error:
            damaged[key] = error
        except ObjectNotFoundError:
            continue  # it was removed just now
    return slots, damaged
