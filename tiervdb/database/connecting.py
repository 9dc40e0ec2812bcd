"""A database and its repository, when it is opened: which one, whose it is, and what it holds beyond the local log."""

from __future__ import annotations

import logging
from os import PathLike

from tiervdb.backup import archive_reader, hydrate, lineage
from tiervdb.backup.hydrate import Hydrator
from tiervdb.backup.repository import Repository
from tiervdb.engine import log_files
from tiervdb.engine.log_files import Record
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import (
    ArchiveConflictError,
    CorruptionError,
    InvalidInputError,
    RepositoryInUseError,
    SettingsMismatchError,
    StorageError,
)
from tiervdb.format import paths
from tiervdb.format.documents import Identity
from tiervdb.format.wal_record import chain_next
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.hydrating_dir import HydratingDir
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.open import Store, open_store

_SHARD = 0
_log = logging.getLogger("tiervdb")
Given = str | PathLike[str] | Store | Repository | None


def repository_for(given: Given, identity: Identity | None) -> Repository | None:
    """The repository to use: the one given, or the one remembered. SettingsMismatchError if these differ."""
    wanted = _to_repository(given)
    remembered = None if identity is None else identity.repository_url
    if wanted is None:
        return None if remembered is None else Repository(remembered)
    if remembered is not None and wanted.url != remembered:
        raise SettingsMismatchError(
            f"this database archives to {remembered}, not to {wanted.url}: leave repository= out, or give that URL. "
            f"To move the repository, Repository({remembered!r}).copy_to(...) copies all of it"
        )
    return wanted


def hydration_of(local: LocalDir, given: Repository | None) -> tuple[HydratingDir, Hydrator] | None:
    """The directory with its missing files, if a lazy restore left some; the repository is asked when one is touched.

    ``given``: serves with its credentials and key, if it is that repository.
    """
    document = hydrate.read(local)
    if document is None:
        return None
    source = given if given is not None and given.url == document.url else Repository(document.url)
    hydrating = hydrate.hydrating(local, document, source.open)
    return hydrating, Hydrator(hydrating, document, source.open)


def prepare(repository: Repository, identity: Identity | None) -> None:
    """Makes the repository if there is none, and looks whether this database may use it: one that is remembered is not
    asked. RepositoryInUseError, FencedError, WrongKeyError, StorageError."""
    if identity is not None and identity.repository_url is not None:
        return
    found = repository.open_or_create()
    line = lineage.read(found.vault)
    if identity is not None:
        lineage.require_ours(line, identity, repository.url)
    elif line.current is not None:
        raise RepositoryInUseError(
            f"{repository.url} holds database {line.current.database_id} already, so a new one cannot archive there. "
            "To get that one back, Repository(url).restore(path); with attach=True it goes on archiving there. For a "
            "new database give another URL"
        )


def bring_back(repository: Repository, local: LocalDir, identity: Identity) -> None:
    """Adds to the log what the archive holds beyond it, say after an older copy of the directory was put back.

    A repository that is away, or an archive whose end cannot be read, is no reason not to open. ArchiveConflictError if
    the archive went another way.
    """
    try:
        found = repository.open()
        last = archive_reader.last_header(found.vault, identity.timeline.id, _SHARD)
    except StorageError as error:
        _log.warning("%s: its repository cannot be asked now, and it opens without: %s", local.root, error)
        return
    except CorruptionError as error:
        _log.warning(
            "%s: the end of its archive cannot be read, and it opens without. Nothing is archived until that is "
            "mended: %s. `tiervdb verify` says what to do",
            local.root,
            error,
        )
        return
    if last is None or last.kind == "gap":
        return
    seq, chain = _end(local)
    if last.last_seq <= seq:
        return
    parts = [
        part
        for part in archive_reader.headers(found.vault, identity.timeline.id, _SHARD)
        if part.kind == "records" and part.last_seq > seq
    ]
    records: list[Record] = []
    for part in parts:
        for header, record in log_files.split(archive_reader.body(found.vault, part), f"part {part.n}"):
            if header.seq == seq + len(records) + 1:
                records.append((header, record))
    _require_continuation(repository, local, chain, seq, records, parts[0].first_seq, parts[-1].after)
    made = log_files.rebuilt(
        records, shard=_SHARD, database_id=identity.database_id, timeline=identity.timeline.id, chain=chain
    )
    for name, data in made:
        local.write_atomic(name, data)
    _log.warning(
        "%s: commits %d to %d were missing here and came back from %s",
        local.root,
        seq + 1,
        last.last_seq,
        repository.url,
    )


def _require_continuation(
    repository: Repository,
    local: LocalDir,
    chain: bytes,
    seq: int,
    records: list[Record],
    first_seq: int,
    after: str,
) -> None:
    for _, record in records:
        chain = chain_next(chain, record)
    if chain.hex() != after:
        raise ArchiveConflictError(
            f"{local.root} ends at commit {seq}, and the archive in {repository.url} goes on from another history (its "
            f"part from commit {first_seq} on does not follow): another copy of this database archived there. Restore "
            "that one, or make this one a timeline of its own by Repository(url).attach(path)"
        )


def _end(local: LocalDir) -> tuple[int, bytes]:
    manifest = ManifestStore(local, _SHARD).current()
    seq, chain = manifest.flushed_seq, manifest.chain
    published = local.shared_words(paths.PublishedName(_SHARD).name, 2)
    for header, record in log_files.taken(local, _SHARD, seq, max(seq, int(published[0]), 2**63)):
        seq, chain = header.seq, chain_next(chain, record)
    return seq, chain


def _to_repository(given: Given) -> Repository | None:
    if given is None or isinstance(given, Repository):
        return given
    if isinstance(given, str | PathLike | Store):
        return Repository(given)
    raise InvalidInputError(f"open: repository={given!r} is not usable; give a URL, a directory or a Repository")


def require_apart(local: LocalDir, repository: Repository) -> None:
    """InvalidInputError where the repository would be lost with the database, or lies around it."""
    place = open_store(repository.location, create=False)
    if not isinstance(place, DirectoryStore):
        return
    mine, theirs = local.root.resolve(), place.local.root.resolve()
    if mine.is_relative_to(theirs) or theirs.is_relative_to(mine):
        raise InvalidInputError(
            f"the repository {theirs} and the database {mine} lie one in the other; give the repository a directory of "
            "its own, best on another disk"
        )
