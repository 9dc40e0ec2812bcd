"""Reading what a repository holds and comparing checksums: all of it or a random share, several at once, resumable."""

from __future__ import annotations

import hashlib
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tiervdb.backup import archive_reader, fetching
from tiervdb.backup.findings import BACKUP_ADVICE, LOG_ADVICE, REFERENCE_ADVICE, Findings, log_from
from tiervdb.backup.leases import Renew
from tiervdb.backup.sending import Progress
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format.repository_documents import BackupFile, PartHeader, StoredObject
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.os_errors import os_errors

_READERS = 8


@dataclass(frozen=True)
class Reading:
    """Something to read. ``key``: as findings and the file that remembers name it; ``depends``: on it."""

    key: str
    size: int
    check: Callable[[], str | None]  # what is wrong with it
    depends: Sequence[str]
    advice: str


@dataclass(frozen=True)
class Read:
    """What was read, whether it was right or is a finding."""

    objects: int = 0
    bytes: int = 0


def of_object(vault: Vault, file: BackupFile, stored: StoredObject, backups: Sequence[str]) -> Reading:
    """An object of the repository that holds a file."""

    def check() -> str | None:
        return None if _digest(vault, stored) == file.sha256 else f"its bytes are not those of {file.name}"

    return Reading(stored.key, file.size, check, backups, BACKUP_ADVICE)


def of_reference(store: ObjectStore, where: str, file: BackupFile, backups: Sequence[str]) -> Reading:
    """A cold object in its source's store."""

    def check() -> str | None:
        with _room() as path:
            store.get_file(file.name, path)
            return None if fetching.hash_file(path) == file.sha256 else "its bytes are not those that backups list"

    return Reading(where, file.size, check, backups, REFERENCE_ADVICE)


def of_part(vault: Vault, part: PartHeader) -> Reading:
    """A part of the archived log: its records, and their running hash."""

    def check() -> None:
        archive_reader.body(vault, part)

    return Reading(part.key, part.length, check, [log_from(part.timeline, part.first_seq)], LOG_ADVICE)


def read(
    readings: Sequence[Reading],
    share: float,
    rng: random.Random,
    resume: Path | None,
    findings: Findings,
    renew: Renew,
    progress: Progress | None,
) -> Read:
    """Reads a random share of these. ``resume``: a local file that remembers those that were right."""
    seen = _remembered(resume)
    left = [one for one in readings if one.key not in seen]
    chosen = [one for one in left if share >= 1 or rng.random() < share] or [rng.choice(left) for _ in left[:1]]
    total, lock = sum(one.size for one in chosen), threading.Lock()
    done = Read()

    def look(one: Reading) -> None:
        nonlocal done
        problem = _problem(one)
        if problem is not None:
            findings.add(one.key, problem, one.depends, one.advice)
        with lock:
            if problem is None and resume is not None:
                _remember(resume, one.key)
            done = Read(done.objects + 1, done.bytes + one.size)
            if progress is not None:
                progress(done.bytes, total)
            renew()

    with ThreadPoolExecutor(_READERS, thread_name_prefix="tiervdb-verify") as pool:
        work = [pool.submit(look, one) for one in chosen]
        try:
            for future in work:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return done


def _problem(one: Reading) -> str | None:
    try:
        return one.check()
    except (CorruptionError, ObjectNotFoundError) as error:
        return f"it cannot be read ({error})"


def _digest(vault: Vault, stored: StoredObject) -> str:
    if stored.size <= fetching.IN_MEMORY:
        return hashlib.sha256(vault.get_bytes(stored)).hexdigest()
    with _room() as path:
        vault.get_file(stored, path)
        return fetching.hash_file(path)


@contextmanager
def _room() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tiervdb-verify-") as folder:
        yield Path(folder) / "object"


def _remembered(resume: Path | None) -> set[str]:
    if resume is not None:
        with suppress(ObjectNotFoundError), os_errors("reading", resume):
            return set(resume.read_text().splitlines())
    return set()


def _remember(resume: Path, key: str) -> None:
    with os_errors("writing", resume), resume.open("a") as file:
        file.write(f"{key}\n")
