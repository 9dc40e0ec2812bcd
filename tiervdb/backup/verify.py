"""Verifying a repository: all that it lists is there, its bytes are right, and the archived log has no hole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tiervdb.backup import holdings, leases, opened, verify_contents
from tiervdb.backup.findings import BACKUP_ADVICE, LOG_ADVICE, REFERENCE_ADVICE, Findings, VerifyFinding, log_from
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.leases import HeldLease
from tiervdb.backup.sending import Progress
from tiervdb.backup.vault import Vault
from tiervdb.backup.verify_contents import Read, Reading, of_object, of_part, of_reference
from tiervdb.errors import CorruptionError, InvalidInputError, ObjectNotFoundError
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_operations as operations
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument, BackupFile, PartHeader, StoredObject
from tiervdb.storage.object_store import ObjectStore


@dataclass(frozen=True)
class VerifyReport:
    """What was looked at. ``read_objects``, ``read_bytes``: whose checksums were verified."""

    findings: tuple[VerifyFinding, ...]
    backups: int
    objects: int
    parts: int
    read_objects: int
    read_bytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@dataclass(frozen=True)
class VerifyWish:
    """``deep``: read everything, or a random share of it (``sample``, above 0 and up to 1).

    ``resume``: a local file that remembers what was read, so that a run that was cut short goes on. ``cold``: opens the
    source's cold store.
    """

    deep: bool = False
    sample: float | None = None
    resume: Path | None = None
    cold: Callable[[str], ObjectStore] | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.sample is not None and (not isinstance(self.sample, int | float) or not 0 < self.sample <= 1):
            raise InvalidInputError(f"verify: sample={self.sample!r} is not usable; give a share above 0 and up to 1")


def verify(vault: Vault, wish: VerifyWish) -> VerifyReport:
    """Looks at everything that is listed. StorageError where the store is away; damage is a finding, not an error."""
    seen = holdings.read(vault, _unseen)
    with leases.take(vault, "verify", backups=[b.id for b in seen.backups], timelines=list(seen.archived)) as lease:
        findings = Findings()
        held = holdings.read(vault, findings.unreadable)  # again: what expired before the lease is no finding
        _others(vault, findings)
        return _Run(vault, held, wish, lease, findings).report()


def _unseen(_key: str, _error: CorruptionError) -> None:
    """Under the lease it is a finding."""


def _others(vault: Vault, findings: Findings) -> None:
    """The documents that a restore does not read."""
    vault.read_all(paths.EXPIRATIONS, documents.decode_expiration, findings.unreadable)
    vault.read_all(paths.LEASES, documents.decode_lease, findings.unreadable)
    vault.read_all(paths.PINS, documents.decode_pin, findings.unreadable)
    vault.read_all(paths.OPERATIONS, operations.decode_operation, findings.unreadable)
    vault.read_all(paths.HOLDS, operations.decode_hold, findings.unreadable)
    for key, error in opened.damaged_slots(vault.store).items():
        findings.unreadable(key, error)


class _Run:
    def __init__(self, vault: Vault, held: Holdings, wish: VerifyWish, lease: HeldLease, findings: Findings) -> None:
        self._vault = vault
        self._held = held
        self._wish = wish
        self._lease = lease
        self._findings = findings

    def report(self) -> VerifyReport:
        users = _users(self._held.backups)
        parts = [part for archived in self._held.archived.values() for part in archived.parts]
        for archived in self._held.archived.values():
            self._chain(archived.parts)
        readings = [*self._objects(users), *self._references()]
        readings += [of_part(self._vault, part) for part in parts if part.kind == "records"]
        read = self._read(readings)
        found, backups = self._findings.found, len(self._held.backups)
        return VerifyReport(found, backups, len(users), len(parts), read.objects, read.bytes)

    def _read(self, readings: Sequence[Reading]) -> Read:
        wish = self._wish
        if not wish.deep and wish.sample is None:
            return Read()
        share = 1.0 if wish.sample is None else wish.sample
        rng, renew = self._vault.rng, self._lease.renew
        return verify_contents.read(readings, share, rng, wish.resume, self._findings, renew, wish.progress)

    def _objects(self, users: Users) -> list[Reading]:
        """The objects that are there with their sizes."""
        sizes = {found.key: found.size for found in self._vault.store.list(paths.DATA)}
        there = []
        for key, (file, stored, backups) in sorted(users.items()):
            if key not in sizes:
                self._findings.add(key, f"it is missing ({file.name})", backups, BACKUP_ADVICE)
            elif (size := sizes[key]) != stored.stored_size:
                what = f"it has {size} bytes instead of {stored.stored_size}"
                self._findings.add(key, what, backups, BACKUP_ADVICE)
            else:
                there.append(of_object(self._vault, file, stored, backups))
        return there

    def _references(self) -> list[Reading]:
        """The cold objects that backups leave in their source's store, and that are there with their sizes."""
        stores: dict[str, ObjectStore] = {}
        there = []
        for (url, name), (file, backups) in sorted(_referenced(self._held.backups).items()):
            if self._wish.cold is None:
                continue
            if url not in stores:
                stores[url] = self._wish.cold(url)
            problem = _wrong(stores[url], file)
            if problem is not None:
                self._findings.add(f"{url}/{name}", problem, backups, REFERENCE_ADVICE)
            else:
                there.append(of_reference(stores[url], f"{url}/{name}", file, backups))
        return there

    def _chain(self, parts: Sequence[PartHeader]) -> None:
        for before, part in pairwise(parts):
            if part.n > before.through + 1:
                self._missing_parts(before, part)
            elif part.n == before.through + 1 and (
                part.first_seq != before.last_seq + 1 or part.before != before.after
            ):
                depends = [log_from(part.timeline, part.first_seq)]
                self._findings.add(part.key, f"it does not follow part {before.through}", depends, LOG_ADVICE)

    def _missing_parts(self, before: PartHeader, after: PartHeader) -> None:
        between = [paths.PartKey(after.timeline, after.shard, n).key for n in range(before.through + 1, after.n)]
        missing = [key for key in between if key not in self._findings.objects]
        if missing:
            what = f"parts {before.through + 1} to {after.n - 1} are missing"
            self._findings.add(missing[0], what, [log_from(after.timeline, before.last_seq + 1)], LOG_ADVICE)


Users = dict[str, tuple[BackupFile, StoredObject, list[str]]]


def _users(backups: Sequence[BackupDocument]) -> Users:
    """By key: what an object holds, and the ids of the backups that list it."""
    found: Users = {}
    for backup in backups:
        for file in backup.files:
            if file.object is not None:
                found.setdefault(file.object.key, (file, file.object, []))[2].append(backup.id)
    return found


def _referenced(backups: Sequence[BackupDocument]) -> dict[tuple[str, str], tuple[BackupFile, list[str]]]:
    """By URL of a cold store and name in it: what backups hold there by reference, and their ids."""
    found: dict[tuple[str, str], tuple[BackupFile, list[str]]] = {}
    for backup in backups:
        for file in backup.files:
            if file.object is None and backup.cold_url is not None:
                found.setdefault((backup.cold_url, file.name), (file, []))[1].append(backup.id)
    return found


def _wrong(store: ObjectStore, file: BackupFile) -> str | None:
    try:
        size = store.stat(file.name).size
    except ObjectNotFoundError:
        return "it is missing, and backups hold it by reference"
    return None if size == file.size else f"it has {size} bytes instead of {file.size}, by which backups refer to it"
