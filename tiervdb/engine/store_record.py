"""What is known of a cold store: probed once, before the first write, and trusted from then on."""

from __future__ import annotations

import random

from tiervdb.clock import Clock
from tiervdb.errors import CorruptionError, ObjectExistsError, ObjectNotFoundError, StorageError
from tiervdb.format import documents, paths
from tiervdb.format.documents import StoreRecord
from tiervdb.storage.doctor_report import StoreReport
from tiervdb.storage.first_look import FirstLook, first_look
from tiervdb.storage.object_store import ObjectStore


def read(store: ObjectStore) -> StoreRecord | None:
    """The store's record, None if nobody has made one. CorruptionError if it is damaged."""
    name = f"{store.url}/{paths.STORE}"
    try:
        return documents.decode_store(store.get(paths.STORE), name)
    except ObjectNotFoundError:
        return None
    except CorruptionError as error:
        message = f"the store's record {name} is damaged; `tiervdb doctor {store.url} --record` makes a new one"
        raise CorruptionError(message) from error


def conditional(store: ObjectStore, database_id: str, clock: Clock, rng: random.Random) -> bool:
    """Whether creating an object stops a second writer, from the record; without one it is tried and recorded.

    CorruptionError if the store, when tried, does not give back what was written.
    """
    found = read(store)
    if found is not None:
        return found.conditional and store.conditional
    key = paths.probe_key(database_id, paths.random_id(rng))
    look = first_look(store, key, rng.randbytes(32), rng.randbytes(32))
    record, holds = of_first_look(look, clock), look.conditional
    try:
        store.put_if_absent(paths.STORE, documents.encode(record))
    except ObjectExistsError:  # another database was faster
        found = read(store)
        return holds if found is None else holds and found.conditional
    return holds


def single_writer(store: ObjectStore) -> bool | None:
    """Whether the store lacks conditional writes; None if that is not known, or the store cannot be asked now."""
    if not store.conditional:
        return True
    try:
        found = read(store)
    except (StorageError, CorruptionError):
        return None
    return None if found is None else not found.conditional


def write(store: ObjectStore, report: StoreReport, clock: Clock) -> StoreRecord:
    """Replaces the record by what the doctor found."""
    record = of_report(report, clock)
    store.put(paths.STORE, documents.encode(record))
    return record


def of_first_look(look: FirstLook, clock: Clock) -> StoreRecord:
    """What the short probe found, as a record; what it did not ask stays open."""
    return StoreRecord(
        probed_us=clock.now_us(),
        by="first write",
        conditional=look.conditional,
        lists_after_writing=look.lists,
        range_reads=True,
    )


def of_report(report: StoreReport, clock: Clock) -> StoreRecord:
    """What the doctor found, as a record."""
    return StoreRecord(
        probed_us=clock.now_us(),
        by="doctor",
        conditional=report.conditional,
        replaces_if_unchanged=report.answer("replaces if unchanged"),
        lists_after_writing=report.answer("lists after writing"),
        range_reads=report.answer("range reads"),
        copies=report.answer("copies"),
        skew_us=report.skew_us,
    )
