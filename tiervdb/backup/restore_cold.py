"""The cold objects of a restored database: by reference where the source's store still has them, else copied.

A database deletes only what is under its own id, so what is copied into a shared store gets keys of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tiervdb.backup import fetching
from tiervdb.backup.destination import Destination
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.backup.vault import Vault
from tiervdb.engine import borrowing, intents
from tiervdb.engine.cold_store import ColdStore
from tiervdb.engine.identity import this_process
from tiervdb.errors import CorruptionError, FeatureUnavailableError, ObjectNotFoundError, StateError
from tiervdb.format import paths
from tiervdb.format.documents import BorrowedPin, Identity
from tiervdb.format.manifest import FileRef, Manifest
from tiervdb.format.repository_documents import BackupFile
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore

UPLOAD = "upload"


@dataclass(frozen=True)
class Brought:
    """The manifest with the keys that its objects have now, and the identity with the store and its pins there.

    ``later``: files of a lazy restore that are still in the repository.
    """

    manifest: Manifest
    identity: Identity
    fetched_bytes: int = 0
    later: tuple[BackupFile, ...] = ()


def store_of(plan: RestorePlan, where: Destination) -> ObjectStore | None:
    """The shared store that the restored database will use; None: a subdirectory of its own."""
    if where.cold is not None:
        return where.cold
    return _source_store(plan, where) if plan.backup.cold_url is not None else None


def bring(
    vault: Vault,
    plan: RestorePlan,
    manifest: Manifest,
    identity: Identity,
    where: Destination,
    staging: LocalDir,
    path: str,
) -> Brought:
    """Makes every cold object that the manifest names readable for the new database.

    Raises CorruptionError where one is nowhere any more, StorageError.
    """
    files = {file.name: file for file in plan.files if file.role == "cold"}
    store = store_of(plan, where)
    if store is None:
        return _into_subdirectory(vault, files, manifest, identity, where, staging)
    identity = msgspec.structs.replace(identity, cold_url=store.url)
    pins: tuple[BorrowedPin, ...] = ()
    present: frozenset[str] = frozenset()
    if where.cold is None:
        present, pins = _borrowed(vault, plan, manifest, identity, store, staging, path, files)
    missing = [file for name, file in files.items() if name not in present]
    renamed = _copy(vault, plan, where, missing, store, identity, staging)
    identity = msgspec.structs.replace(identity, borrowed=pins)
    return Brought(_renamed(manifest, renamed), identity, sum(file.size for file in missing))


def complete(plan: RestorePlan, where: Destination, local: LocalDir) -> None:
    """The database is there: its pins say so from now on."""
    store = store_of(plan, where)
    if store is not None:
        borrowing.finish_if_possible(store, local)


def abandon(plan: RestorePlan, where: Destination, staging: LocalDir, path: str) -> None:
    """Undoes in the cold store what an earlier attempt to this path did there. Raises StorageError."""
    found = intents.listed(staging)
    if not found:
        return
    store = store_of(plan, where)
    if store is None:
        return
    borrowing.abandon(store, staging, path)
    for intent in found:
        if intent.kind == UPLOAD:
            for key in intent.keys:
                store.delete(key)
            intents.forget(staging, intent.id)


def _into_subdirectory(
    vault: Vault,
    files: Mapping[str, BackupFile],
    manifest: Manifest,
    identity: Identity,
    where: Destination,
    staging: LocalDir,
) -> Brought:
    identity = msgspec.structs.replace(identity, cold_url=None)
    if where.lazy:
        later = (msgspec.structs.replace(file, name=f"{paths.COLD_DIR}/{file.name}") for file in files.values())
        return Brought(manifest, identity, later=tuple(later))
    cold = staging.sub(paths.COLD_DIR)
    have = where.parent.sub(where.name).sub(paths.COLD_DIR) if where.delta else None
    got = fetching.fetch_files(vault, list(files.values()), cold, have, where.limits, None)
    return Brought(manifest, identity, got.fetched_bytes)


def _borrowed(
    vault: Vault,
    plan: RestorePlan,
    manifest: Manifest,
    identity: Identity,
    store: ObjectStore,
    staging: LocalDir,
    path: str,
    files: Mapping[str, BackupFile],
) -> tuple[frozenset[str], tuple[BorrowedPin, ...]]:
    """Pins what the source's store still has; what it deletes just then counts as missing."""
    present = _present(store, files)
    if not present:
        return frozenset(), ()
    loan = borrowing.Loan(identity, path, manifest, plan.seq, present)
    try:
        return present, borrowing.take(store, staging, loan, vault.clock, vault.rng)
    except CorruptionError:
        return frozenset(), ()


def _present(store: ObjectStore, files: Mapping[str, BackupFile]) -> frozenset[str]:
    owners = sorted({name.split("/")[0] for name in files})
    sizes = {found.key: found.size for owner_id in owners for found in store.list(f"{owner_id}/")}
    return frozenset(name for name, file in files.items() if sizes.get(name) == file.size)


def _copy(
    vault: Vault,
    plan: RestorePlan,
    where: Destination,
    files: Sequence[BackupFile],
    store: ObjectStore,
    identity: Identity,
    staging: LocalDir,
) -> dict[str, str]:
    """Copies objects into the store under keys of the new database; old keys to new ones."""
    if not files:
        return {}
    cold = ColdStore(store, identity, this_process(), vault.clock, vault.rng)
    renamed = {file.name: cold.new_key(file.name.rpartition(".")[2]) for file in files}
    shard, epoch = 0, cold.epoch()
    intents.record(staging, shard, list(renamed.values()), epoch, vault.clock, vault.rng, UPLOAD)
    for file in files:
        _copy_one(vault, plan, where, file, store, renamed[file.name])
    return renamed


def _copy_one(
    vault: Vault, plan: RestorePlan, where: Destination, file: BackupFile, store: ObjectStore, key: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="tiervdb-restore-") as folder:
        path = Path(folder) / "object"
        copied = _copied_by_store(vault, file, store, key)
        if copied:
            store.get_file(key, path)  # nobody has looked at its bytes yet
        else:
            _read(vault, plan, where, file, path)
        if fetching.hash_file(path) != file.sha256:
            raise fetching.damaged(file, vault)
        if not copied:
            store.put_file(key, path)


def _copied_by_store(vault: Vault, file: BackupFile, store: ObjectStore, key: str) -> bool:
    if file.object is None or file.object.layout != "plain":
        return False
    try:
        store.copy_from(vault.store, file.object.key, key)
    except FeatureUnavailableError:
        return False
    return True


def _read(vault: Vault, plan: RestorePlan, where: Destination, file: BackupFile, path: Path) -> None:
    if file.object is not None:
        vault.get_file(file.object, path)
        return
    source = _source_store(plan, where)
    try:
        source.get_file(file.name, path)
    except ObjectNotFoundError as error:
        raise CorruptionError(
            f"cold object {file.name} is missing in {source.url}, and backup {plan.backup.id} holds it by reference "
            'only (cold="reference"): it cannot be restored. Restore a backup with cold="copy"'
        ) from error


def _source_store(plan: RestorePlan, where: Destination) -> ObjectStore:
    url = plan.backup.cold_url
    if url is None or where.source_cold is None:
        raise StateError(f"backup {plan.backup.id} needs the cold store of its source; give cold= another one")
    return where.source_cold(url)


def _renamed(manifest: Manifest, keys: Mapping[str, str]) -> Manifest:
    if not keys:
        return manifest

    def moved(reference: FileRef) -> FileRef:
        return msgspec.structs.replace(reference, name=keys.get(reference.name, reference.name))

    segments = tuple(
        msgspec.structs.replace(s, objects={role: moved(f) for role, f in s.objects.items()}) for s in manifest.segments
    )
    codebooks = tuple(
        c if c.object is None else msgspec.structs.replace(c, object=moved(c.object)) for c in manifest.codebooks
    )
    return msgspec.structs.replace(manifest, segments=segments, codebooks=codebooks)
