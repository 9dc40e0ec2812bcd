"""Bringing files from the repository into a directory, verified; intact files of another directory are kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tiervdb.backup.pace import Limits, Pace
from tiervdb.backup.sending import Progress
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError
from tiervdb.format import paths
from tiervdb.format.repository_documents import BackupFile
from tiervdb.storage.local_dir import LocalDir

_BLOCK = 1 << 20
IN_MEMORY = 64 << 20  # what is larger goes through a temporary file


@dataclass(frozen=True)
class Fetched:
    """``kept_bytes``: of files that were intact here and were not fetched."""

    fetched_bytes: int = 0
    kept_bytes: int = 0


def fetch_files(
    vault: Vault,
    files: Sequence[BackupFile],
    target: LocalDir,
    have: LocalDir | None,
    limits: Limits,
    progress: Progress | None,
) -> Fetched:
    """Fetches files into ``target``, several at once. ``have``: a directory whose files are linked where they match."""
    pace = Pace(limits, vault.clock)
    total, lock = sum(file.size for file in files), threading.Lock()
    done = kept = 0

    def one(file: BackupFile) -> None:
        nonlocal done, kept
        intact = have is not None and _link_intact(have, target, file)
        if not intact:
            pace.request(file.size)
            fetch_file(vault, file, target)
        with lock:
            done += file.size
            kept += file.size if intact else 0
            if progress is not None:
                progress(done, total)

    with ThreadPoolExecutor(limits.parallel, thread_name_prefix="tiervdb-restore") as pool:
        for future in [pool.submit(one, file) for file in sorted(files, key=lambda f: -f.size)]:
            future.result()
    return Fetched(total - kept, kept)


def fetch_file(vault: Vault, file: BackupFile, target: LocalDir, name: str | None = None) -> None:
    """Fetches one file, verified before it gets its name. CorruptionError names the object."""
    if file.object is None:
        raise CorruptionError(f"{file.name} has no object in {vault.url}; run `tiervdb verify`")
    with target.stage(name or file.name) as staged:
        vault.get_file(file.object, staged.path)
        digest = hash_file(staged.path)
        if digest != file.sha256:
            raise damaged(file, vault)
        staged.commit()


def checked(data: bytes, file: BackupFile, vault: Vault) -> bytes:
    """The bytes, if they are those of the file."""
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise damaged(file, vault)
    return data


def damaged(file: BackupFile, vault: Vault) -> CorruptionError:
    where = file.object.key if file.object is not None else file.name
    return CorruptionError(
        f"{where} in {vault.url}, which holds {file.name}, is damaged. Nothing was restored; run `tiervdb verify "
        "--deep` to find what else is, and restore from another backup or from an off-site copy"
    )


def hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def replace_directory(parent: LocalDir, staged: str, name: str) -> None:
    """Puts a staged directory in the place of an old one, which is deleted then. ``settle_replaced`` comes before."""
    old = _replaced(name)
    parent.rename(name, old)
    parent.rename(staged, name)
    remove(parent.sub(old))


def settle_replaced(parent: LocalDir, name: str) -> None:
    """After an interrupted ``replace_directory``: the old one is put back, or deleted where its successor is."""
    old = parent.sub(_replaced(name))
    if not old.root.is_dir():
        return
    if old.exists(paths.IDENTITY) and not parent.path(name).exists():
        parent.rename(_replaced(name), name)
    else:
        remove(old)


def _replaced(name: str) -> str:
    return f".{name}.replaced"


def remove(local: LocalDir) -> None:
    """Deletes a directory's files; that which makes it a database first, so that none is ever half there."""
    local.delete(paths.IDENTITY, durable=True)
    for file in list(local.walk("")):
        local.delete(file)
    local.remove_empty_folders()


def _link_intact(have: LocalDir, target: LocalDir, file: BackupFile) -> bool:
    if not have.exists(file.name) or have.size(file.name) != file.size:
        return False
    if hash_file(have.path(file.name)) != file.sha256:
        return False
    target.link(have.path(file.name), file.name)
    return True
