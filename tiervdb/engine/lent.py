"""The pins that others hold in a database's own cold store, as its owner sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tiervdb.engine import gc
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import CorruptionError, NewerFormatError, ObjectNotFoundError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Pin
from tiervdb.storage import place
from tiervdb.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Lent:
    """A pin in the store. ``pin``: None if its document cannot be read, for the reason in ``problem``.

    ``created_us``: when it was made, or by the store's clock if that cannot be read.
    """

    id: str
    pin: Pin | None
    created_us: int
    problem: str = ""


def listed(store: ObjectStore, database_id: str) -> list[Lent]:
    """All of them. A damaged one is listed too: it also keeps objects. Raises StorageError if the store is away."""
    return sorted(_read(store, database_id), key=lambda lent: lent.created_us)


def _read(store: ObjectStore, database_id: str) -> Iterator[Lent]:
    for found in list(store.list(paths.cold_pin_prefix(database_id))):
        key = paths.parse_key(found.key)
        if not isinstance(key, paths.ColdPinKey):
            continue
        try:
            pin = documents.decode_pin(store.get(found.key), f"{store.url}/{found.key}")
        except ObjectNotFoundError:
            continue  # released meanwhile
        except (CorruptionError, NewerFormatError) as error:
            yield Lent(key.id, None, found.modified_us, str(error))
        else:
            yield Lent(key.id, pin, pin.created_us)


def depends(lent: Lent, manifests: ManifestStore) -> str:
    """What is lost when it is released, for people."""
    if lent.pin is None:
        return f"not known, for it cannot be read: while it is there, no cold object is deleted ({lent.problem})"
    needed = {name for version in manifests.versions() for name in gc.names_of(manifests.read(version))}
    count, alone = len(lent.pin.keys), sum(key not in needed for key in lent.pin.keys)
    return (
        f"{_holder(lent.pin)} reads {count} cold object{'' if count == 1 else 's'} here at commit {lent.pin.seq}; "
        f"{alone} of them nothing here needs any more: once the pin is released, maintenance deletes them, and whoever "
        "still reads them there gets an error"
    )


def _holder(pin: Pin) -> str:
    where = pin.path or "a place that is not known"
    if pin.owner is not None:
        where += f" on {pin.owner.host}"
    if pin.state == "held":
        return f"database {pin.holder} in {where}"
    return f"an unfinished {pin.kind} ({pin.holder}) in {where}, {_maker(pin)},"


def _maker(pin: Pin) -> str:
    if pin.owner is None:
        return "whose maker is not known"
    if pin.owner.host != place.owner()[1]:
        return f"made by process {pin.owner.pid} there"
    return f"made by process {pin.owner.pid}, which {'runs' if place.is_running(pin.owner.pid) else 'is gone'}"
