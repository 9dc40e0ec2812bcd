"""Verifying a repository: all that it lists is there, its bytes are right, and the archived log has no hole."""

from __future__ import annotations

import hashlib
import random
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tiervdb.backup import archive_reader, fetching, holdings, leases
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.leases import HeldLease
from tiervdb.backup.sending import Progress
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError, InvalidInputError, ObjectNotFoundError
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument, BackupFile, PartHeader, StoredObject
from tiervdb.storage.object_store import ObjectStore

_READERS = 8
_TIMELINE_SHOWN = 8


@dataclass(frozen=True)
class VerifyFinding:
    """Something that is wrong: in which object, what depends on it, and what to do."""

    object: str
    problem: str
    depends: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        return f"{self.object}: {self.problem}. Depends on it: {', '.join(self.depends) or 'nothing'}. {self.advice}"


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
        if self.sample is not None and not 0 < self.sample <= 1:
            raise InvalidInputError(f"verify: sample={self.sample!r} is not usable; give a share above 0 and up to 1")


def verify(vault: Vault, wish: VerifyWish) -> VerifyReport:
    """Looks at everything that is listed. StorageError where the store is away; damage is a finding, not an error."""
    held = holdings.read(vault)
    timelines = list(held.archived)
    with leases.take(vault, "verify", backups=[b.id for b in held.backups], timelines=timelines) as lease:
        return _Run(vault, held, wish, lease).report()


class _Run:
    def __init__(self, vault: Vault, held: Holdings, wish: VerifyWish, lease: HeldLease) -> None:
        self._vault = vault
        self._held = held
        self._wish = wish
        self._lease = lease
        self._findings: list[VerifyFinding] = []
        self._users = _users(held.backups)
        self._lock = threading.Lock()
        self._done = _remembered(wish.resume)
        self._read_bytes = self._read_objects = 0

    def report(self) -> VerifyReport:
        files = {file.object.key: file for b in self._held.backups for file in b.files if file.object is not None}
        there = self._listing(files)
        parts = [part for archived in self._held.archived.values() for part in archived.parts]
        for archived in self._held.archived.values():
            self._chain(archived.parts)
        self._references()
        if self._wish.deep or self._wish.sample is not None:
            self._read_all([file for key, file in sorted(files.items()) if key in there], parts)
        return VerifyReport(
            tuple(self._findings), len(self._held.backups), len(files), len(parts), self._read_objects, self._read_bytes
        )

    # -- listings

    def _listing(self, files: dict[str, BackupFile]) -> set[str]:
        """The keys that are there with their sizes."""
        sizes = {found.key: found.size for found in self._vault.store.list(paths.DATA)}
        there = set()
        for key, file in sorted(files.items()):
            wanted = file.object.stored_size if file.object is not None else 0
            if key not in sizes:
                self._add(key, f"it is missing ({file.name})", self._users[key], _BACKUP_ADVICE)
            elif sizes[key] != wanted:
                self._add(key, f"it has {sizes[key]} bytes instead of {wanted}", self._users[key], _BACKUP_ADVICE)
            else:
                there.add(key)
        return there

    def _references(self) -> None:
        """Cold objects that backups leave in their source's store."""
        by_url: dict[str, dict[str, list[str]]] = {}
        for backup in self._held.backups:
            for file in backup.files:
                if file.object is None and backup.cold_url is not None:
                    by_url.setdefault(backup.cold_url, {}).setdefault(file.name, []).append(backup.id)
        for url, names in by_url.items():
            store = None if self._wish.cold is None else self._wish.cold(url)
            for name, backups in sorted(names.items()):
                if store is not None and not _is_there(store, name):
                    advice = 'Make a full backup with cold="copy" while the database still has these rows.'
                    self._add(f"{url}/{name}", "it is missing, and backups hold it by reference", backups, advice)

    def _chain(self, parts: Sequence[PartHeader]) -> None:
        for before, part in pairwise(parts):
            where = paths.PartKey(part.timeline, part.shard, part.n).key
            depends = [f"timeline {part.timeline[:_TIMELINE_SHOWN]} from commit {part.first_seq} on"]
            if part.n != before.n + 1:
                missing = paths.PartKey(part.timeline, part.shard, before.n + 1).key
                self._add(missing, f"parts {before.n + 1} to {part.n - 1} are missing", depends, _LOG_ADVICE)
            elif part.first_seq != before.last_seq + 1 or part.before != before.after:
                self._add(where, f"it does not follow part {before.n}", depends, _LOG_ADVICE)

    # -- contents

    def _read_all(self, files: Sequence[BackupFile], parts: Sequence[PartHeader]) -> None:
        share = self._wish.sample if self._wish.sample is not None else 1.0
        chosen = [f for f in files if self._is_chosen(f.object, share)]
        logs = [p for p in parts if p.kind == "records" and _draw(self._vault.rng, share)]
        total = sum(f.size for f in chosen) + sum(p.length for p in logs)

        def told(size: int) -> None:
            with self._lock:
                self._read_objects += 1
                self._read_bytes += size
                if self._wish.progress is not None:
                    self._wish.progress(self._read_bytes, total)
                self._lease.renew()

        def read_file(file: BackupFile) -> None:
            self._read_file(file)
            told(file.size)

        def read_part(part: PartHeader) -> None:
            self._read_part(part)
            told(part.length)

        with ThreadPoolExecutor(_READERS, thread_name_prefix="tiervdb-verify") as pool:
            work = [pool.submit(read_file, f) for f in chosen] + [pool.submit(read_part, p) for p in logs]
            for future in work:
                future.result()

    def _is_chosen(self, stored: StoredObject | None, share: float) -> bool:
        return stored is not None and stored.key not in self._done and _draw(self._vault.rng, share)

    def _read_file(self, file: BackupFile) -> None:
        stored = file.object
        if stored is None:
            return
        try:
            digest = self._digest(stored)
        except (CorruptionError, ObjectNotFoundError) as error:
            self._add(stored.key, f"it cannot be read ({error})", self._users[stored.key], _BACKUP_ADVICE)
            return
        if digest != file.sha256:
            self._add(stored.key, f"its bytes are not those of {file.name}", self._users[stored.key], _BACKUP_ADVICE)
            return
        self._remember(stored.key)

    def _digest(self, stored: StoredObject) -> str:
        if stored.size <= fetching.IN_MEMORY:
            return hashlib.sha256(self._vault.get_bytes(stored)).hexdigest()
        with tempfile.TemporaryDirectory(prefix="tiervdb-verify-") as folder:
            path = Path(folder) / "object"
            self._vault.get_file(stored, path)
            return fetching.hash_file(path)

    def _read_part(self, part: PartHeader) -> None:
        try:
            archive_reader.body(self._vault, part)
        except (CorruptionError, ObjectNotFoundError) as error:
            key = paths.PartKey(part.timeline, part.shard, part.n).key
            depends = [f"timeline {part.timeline[:_TIMELINE_SHOWN]} from commit {part.first_seq} on"]
            self._add(key, f"it cannot be read ({error})", depends, _LOG_ADVICE)

    def _remember(self, key: str) -> None:
        if self._wish.resume is None:
            return
        with self._lock, self._wish.resume.open("a") as file:
            file.write(f"{key}\n")

    def _add(self, where: str, problem: str, depends: Iterable[str], advice: str) -> None:
        with self._lock:
            self._findings.append(VerifyFinding(where, problem, tuple(dict.fromkeys(depends)), advice))


_BACKUP_ADVICE = (
    'Make a full backup now (kind="full"), which depends on no earlier one; bring the object back from an off-site '
    "copy."
)
_LOG_ADVICE = (
    "Make a backup now: from it on everything can be restored again; bring the part back from an off-site copy."
)


def _users(backups: Sequence[BackupDocument]) -> dict[str, list[str]]:
    """The ids of the backups that list each object."""
    found: dict[str, list[str]] = {}
    for backup in backups:
        for file in backup.files:
            if file.object is not None:
                found.setdefault(file.object.key, []).append(backup.id)
    return found


def _is_there(store: ObjectStore, key: str) -> bool:
    try:
        store.stat(key)
    except ObjectNotFoundError:
        return False
    return True


def _remembered(resume: Path | None) -> set[str]:
    if resume is None:
        return set()
    with suppress(FileNotFoundError):
        return set(resume.read_text().splitlines())
    return set()


def _draw(rng: random.Random, share: float) -> bool:
    return share >= 1 or rng.random() < share
