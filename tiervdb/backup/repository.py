"""A repository: where the backups and the archived log of one database and its descendants live."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

import pyarrow as pa

from tiervdb.backup import (
    archived_log,
    attach,
    expiring,
    holdings,
    holds,
    leases,
    listing,
    merging,
    opened,
    recorded,
    resolve,
    restoring,
    windows,
)
from tiervdb.backup.catalog.catalog import Catalog
from tiervdb.backup.catalog.duck import Params
from tiervdb.backup.copy_objects import CopyWish
from tiervdb.backup.copying import CopyResult
from tiervdb.backup.drill import DrillWish
from tiervdb.backup.drill_words import DrillResult, drill_value
from tiervdb.backup.expiring import ExpiryResult, Named
from tiervdb.backup.holds import Hold
from tiervdb.backup.keys import Key
from tiervdb.backup.log_reader import LogReader
from tiervdb.backup.merging import MergeResult
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.pace import UNLIMITED, Limits
from tiervdb.backup.policy import Policy
from tiervdb.backup.restoring import RestoreWish
from tiervdb.backup.sending import Progress
from tiervdb.backup.values import (
    Backup,
    PlannedRestore,
    RestorableWindow,
    RestoreResult,
    backup_value,
    plan_value,
    window_value,
)
from tiervdb.backup.verify import VerifyReport, VerifyWish
from tiervdb.clock import Clock, SystemClock
from tiervdb.errors import InvalidInputError, NotARepositoryError, StoreUnavailableError, TiervdbError
from tiervdb.storage.given import to_path, to_place
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

_log = logging.getLogger("tiervdb")
Url = str | PathLike[str] | Store


class Repository:
    """Backups and archived log, at a directory, ``s3://bucket/prefix`` or another fsspec URL. Thread-safe.

    Nothing is asked of the store until a method needs it. Methods raise NotARepositoryError if there is none,
    WrongKeyError if it is encrypted and the key is missing or wrong, CorruptionError, StorageError.
    """

    def __init__(
        self,
        url: Url,
        storage_options: Mapping[str, object] | None = None,
        key: Key | None = None,
        *,
        publish: bool = True,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """``storage_options``: credentials in s3fs names, never stored; they serve the source's cold store, too, where
        a restore reads it. ``key``: of an encrypted repository. ``publish``: whether the catalog is published after
        each operation. ``clock``, ``rng``: for tests."""
        self.location = _location(url, storage_options)
        if key is not None and not isinstance(key, Key):
            raise InvalidInputError(
                "Repository: key= is not usable; give Key.file(path), Key.env(name) or Key.command(command)"
            )
        self.key = key
        self._clock = clock or SystemClock()
        self._rng = rng or random.SystemRandom()
        self._lock = threading.Lock()
        self._opened: OpenRepository | None = None
        self._catalog: Catalog | None = None
        self._publishes = publish

    @classmethod
    def create(
        cls,
        url: Url,
        storage_options: Mapping[str, object] | None = None,
        *,
        encrypted: bool = False,
        key: Key | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> Repository:
        """Makes a new, empty repository. ``encrypted``: with ``key``, and with no way in without it.

        Raises AlreadyExistsError if there is one, or if the place is not empty.
        """
        if encrypted != (key is not None):
            raise InvalidInputError("Repository.create: encrypted=True and key= go together; give both, or neither")
        repository = cls(url, storage_options, key, clock=clock, rng=rng)
        store = open_store(repository.location)
        repository._opened = opened.create_in(store, key, repository._clock, repository._rng)
        return repository

    @property
    def url(self) -> str:
        return open_store(self.location, create=False).url

    @property
    def encrypted(self) -> bool:
        """Whether all in it is sealed."""
        return self.open().document.encrypted

    def open(self) -> OpenRepository:
        """The repository itself, opened once; what the methods here work on."""
        with self._lock:
            if self._opened is None:
                store = open_store(self.location, create=False)
                self._opened = opened.open_in(store, self.key, self._clock, self._rng)
            return self._opened

    # -- what there is

    def backups(self) -> list[Backup]:
        """All listed backups, oldest first."""
        return [backup_value(document) for document in holdings.readable(self.open().vault)[0].backups]

    def backup(self, id: str) -> Backup:
        """One backup, by its id, the beginning of it, or its label. Raises BackupNotFoundError."""
        return backup_value(listing.find(list(holdings.readable(self.open().vault)[0].backups), id))

    def windows(self, timeline: str | None = None) -> list[RestorableWindow]:
        """The gap-free intervals that can be restored, oldest first. With ``archive="off"`` each backup is its own."""
        held = holdings.readable(self.open().vault)[0]
        line = None if timeline is None else resolve.history_for(held, timeline)[0].timeline
        return [window_value(window) for window in windows.windows(held, line)]

    def log(self, timeline: str | None = None) -> pa.Table:
        """What was committed when, along the history of a timeline (None: the current one), like ``Database.log``.

        As far back as the archive and the backups hold the log.
        """
        vault = self.open().vault
        held, _ = holdings.readable(vault)
        history = resolve.history_for(held, timeline)
        return archived_log.table(LogReader(vault), held, history)

    def sql(self, query: str, params: Params = None) -> DuckDBPyRelation:
        """A select over the catalog, as DuckDB answers it: ``.df()``, ``.arrow()``, ``.fetchall()``. docs/catalog.md
        lists the tables, ``show tables`` too.

        The tables are read first; the query itself reaches neither files nor network. InvalidInputError for one that
        cannot be run.
        """
        return self.catalog.sql(query, params)

    @property
    def catalog(self) -> Catalog:
        """The tables about all of this: ``sql``, ``table``, ``export``, ``publish``."""
        vault = self.open().vault
        with self._lock:
            if self._catalog is None:
                self._catalog = Catalog(vault)
            return self._catalog

    def after_operation(self) -> None:
        """Publishes the catalog, unless that is not wanted; a failure is said in the log, and fails nothing."""
        if not self._publishes:
            return
        try:
            self.catalog.publish(with_log=None)
        except TiervdbError as error:
            _log.warning("%s: the catalog could not be published: %s", self.url, error)

    # -- restoring

    def plan(self, target: Target | None = None) -> PlannedRestore:
        """What a restore would fetch; nothing is. Raises OutsideWindowError, which names what can be restored,
        AmbiguousTargetError, SnapshotNotFoundError or BackupNotFoundError."""
        wanted = _target(target)
        return plan_value(restoring.plan(self.open(), wanted)[1], str(wanted))

    def restore(
        self,
        path: Url,
        target: Target | None = None,
        *,
        attach: bool = False,
        collections: Sequence[str] | None = None,
        cold: Url | None = None,
        lazy: bool = False,
        delta: bool = False,
        limits: Limits | None = None,
        progress: Progress | None = None,
        dry_run: bool = False,
    ) -> RestoreResult | PlannedRestore:
        """Makes a database at ``path`` as it was at a target (None: the newest), with its indexes; open it next.

        It is a new database on a timeline of its own, detached: it archives nowhere, and the old one goes on. With
        ``attach`` it becomes the repository's current one, and the old writer is shut out; repeating an attempt that
        was cut short finishes it. ``collections``: only these. ``cold``: another cold store, which gets copies of all
        cold objects; None: that of the source, by reference where they are still there. ``lazy``: returns at once, and
        files come when they are touched. ``delta``: ``path`` is a closed database, whose intact files are kept and
        whose place the restored one takes. ``dry_run``: as ``plan``.

        Raises what ``plan`` raises, before anything is fetched; AlreadyExistsError if the path exists,
        DatabaseLockedError if it is in use. What an interrupted restore leaves opens as nothing.
        """
        wanted = _target(target)
        if dry_run:
            return self.plan(wanted)
        wish = RestoreWish(
            attach=attach,
            cold=None if cold is None else to_place(cold, "cold= a directory, a URL or a Store"),
            source_options=self._source_place,
            delta=delta,
            lazy=lazy,
            collections=None if collections is None else _names(collections),
            limits=_limits(limits),
            progress=progress,
        )
        where = to_path(path, "the directory of the restored database")
        done = recorded.restore(self.open(), where, wanted, wish)
        self.after_operation()
        return done

    def read_at(self, path: Url, target: Target) -> None:
        """A lazy restore to be read and thrown away: nothing is written down of it."""
        wish = RestoreWish(source_options=self._source_place, lazy=True)
        restoring.run(self.open(), to_path(path, "a directory"), target, wish)

    def attach(self, path: Url) -> None:
        """Makes a restored or copied database the current one here; the old writer is shut out.

        Raises DatabaseLockedError if it is open, RepositoryInUseError if it does not descend from one that was here.
        """
        attach.attach(self.open(), OsDir(to_path(path, "the directory of a restored database")))
        self.after_operation()

    # -- proving and copying

    def verify(
        self,
        *,
        deep: bool = False,
        sample: float | None = None,
        resume: Url | None = None,
        progress: Progress | None = None,
    ) -> VerifyReport:
        """Looks whether all that is listed is there, and whether the archived log has no hole; damage is a finding.

        ``deep``: also reads everything and compares checksums; ``sample``: a random share of it, 0.05 for 5%.
        ``resume``: a local file that remembers what was read, so that a deep run can be cut short and go on.
        """
        wish = VerifyWish(
            deep, sample, None if resume is None else to_path(resume, "resume= a file"), self._cold_store, progress
        )
        done = recorded.verified(self.open().vault, wish)
        self.after_operation()
        return done

    def drill(
        self,
        target: Target | None = None,
        *,
        lazy: bool = False,
        scratch: Url | None = None,
        limits: Limits | None = None,
        progress: Progress | None = None,
    ) -> DrillResult:
        """Restores to a random point of a random restorable window (or to a target), checks all of it, measures, and
        removes it again.

        What does not hold is in the result, and in the catalog's ``drills``; it is not raised. ``lazy``: opens before
        all is there. ``scratch``: a directory with room for the database; None: the system's for temporary files.
        StateError if nothing can be restored.
        """
        wish = DrillWish(
            target=None if target is None else _target(target),
            lazy=lazy,
            scratch=None if scratch is None else to_path(scratch, "scratch= a directory"),
            source_options=self._source_place,
            limits=_limits(limits),
            progress=progress,
        )
        done = recorded.drill(self.open(), wish)
        self.after_operation()
        return drill_value(done)

    def copy_to(
        self,
        url: Url | Repository,
        *,
        limits: Limits | None = None,
        progress: Progress | None = None,
    ) -> CopyResult:
        """Copies what is listed into another repository, which is made if there is none; only what is missing there.

        All of it is read back, and can be restored from there alone. Small parts of the log there that a merged object
        stands for now are deleted. ``url``: or a ``Repository`` with credentials or another key, which need not exist
        yet. Raises ArchiveConflictError if that one went another way since.
        """
        target = url if isinstance(url, Repository) else Repository(url, clock=self._clock, rng=self._rng)
        wish = CopyWish(_limits(limits), progress, self._cold_store)
        done = recorded.copy(self.open().vault, target.open_or_create().vault, wish)
        self.after_operation()
        target.after_operation()
        return done

    def open_or_create(self) -> OpenRepository:
        """As ``open``, and makes the repository if there is none: encrypted, if it has a key."""
        try:
            return self.open()
        except (NotARepositoryError, StoreUnavailableError):
            store = open_store(self.location, create=True)
            if opened.find(store) is not None:
                raise
        with self._lock:
            self._opened = opened.create_in(store, self.key, self._clock, self._rng)
            return self._opened

    def _cold_store(self, url: str) -> ObjectStore:
        return open_store(self._source_place(url), create=False)

    def _source_place(self, url: str) -> Store:
        """The source's cold store, with this repository's credentials where it may take them."""
        return replace(self.location, url=url) if _same_service(self.location, url) else Store(url)

    # -- keeping and expiring

    def expire(
        self, what: Policy | Sequence[str] | None = None, *, reason: str = "asked for", dry_run: bool = True
    ) -> ExpiryResult:
        """Plans what goes; with ``dry_run=False`` unlists it and deletes what nobody needs any more.

        ``what``: a ``Policy`` (None: the default one), or backups by id, its beginning, or label, with a ``reason``.
        What other backups list, what a hold keeps, and what running backups, restores, verifications and copies need,
        stays. Raises BackupNotFoundError; StateError for the last backup, for one that is held, and where a policy
        would break its ``require_restorable``.
        """
        wish = self._what(what, reason)
        if dry_run:
            return self.catalog.look(lambda found: expiring.plan(found, wish))
        done = recorded.expire(self.open().vault, wish, self._cold_store)
        self.after_operation()
        return done

    def merge_log(self, *, dry_run: bool = True) -> MergeResult:
        """Merges small parts of the archived log that are older than an hour into larger objects, which restores and
        the catalog read with fewer requests; with ``dry_run=False`` does it, and deletes the parts.

        Nothing that can be restored changes. ``expire`` does it, too. Needs a key that may delete.
        """
        return merging.run(self.open().vault, dry_run=dry_run)

    def hold(self, backup: str | None = None, *, label: str | None = None, reason: str) -> Hold:
        """Keeps a backup, given by id, its beginning, or label, from expiring; or all of a ``label``, also later ones.

        Raises BackupNotFoundError; InvalidInputError without a reason.
        """
        done = holds.hold(self.open().vault, backup, label, reason)
        self.after_operation()
        return done

    def release(self, name: str) -> list[Hold]:
        """Ends a hold, given by its id, or all holds of a backup or label; says which. BackupNotFoundError."""
        done = holds.release(self.open().vault, name)
        self.after_operation()
        return done

    def release_pin(self, id: str) -> None:
        """Lets go what a lazy restore kept that will fetch no more, given by its id or the beginning of it.

        ``sql("from pins")`` lists them. If it does fetch again, it may fail. Raises PinNotFoundError.
        """
        leases.release_pin(self.open().vault, id)
        self.after_operation()

    def holds(self) -> list[Hold]:
        """What is held, oldest first."""
        return holds.listed(self.open().vault)

    @staticmethod
    def _what(what: object, reason: str) -> Policy | Named:
        if what is None or isinstance(what, Policy):
            return what or Policy()
        return Named(_names(what), reason)

    # -- keys

    def add_key(self, key: Key) -> str:
        """Lets one more key open an encrypted repository; returns its id. The data is not written again."""
        found = self.open()
        return opened.add_key(found.vault.store, found.document, self._key("add"), key, self._clock, self._rng)

    def remove_key(self, id: str) -> None:
        """Takes a key's access away. The key that this repository was opened with must open it still."""
        found = self.open()
        opened.remove_key(found.vault.store, found.document, self._key("remove"), id)

    def keys(self) -> list[str]:
        """The ids of all keys."""
        return opened.key_ids(self.open().vault.store)

    def _key(self, doing: str) -> Key:
        if self.key is None:
            raise InvalidInputError(f"{self.url} is not encrypted: there is no key to {doing}")
        return self.key

    def __repr__(self) -> str:
        return f"Repository({self.url!r})"


def _location(url: Url | Store, options: Mapping[str, object] | None) -> Store:
    place = to_place(url, "the repository's URL or directory")
    return place if options is None else replace(place, storage_options=options)


def _target(target: object) -> Target:
    if target is None:
        return Target.latest()
    if not isinstance(target, Target):
        raise InvalidInputError(
            f"{target!r} is no target; give Target.time(...), Target.seq(...), .snapshot() or .backup()"
        )
    return target


def _names(names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InvalidInputError(f"{names!r} is not usable; give a list of names")
    return tuple(names)


def _limits(limits: object) -> Limits:
    if limits is not None and not isinstance(limits, Limits):
        raise InvalidInputError(f"limits={limits!r} is not usable; give tiervdb.Limits(...)")
    return limits or UNLIMITED


def _same_service(location: Store, url: str) -> bool:
    return str(location.url).partition("://")[0] == url.partition("://")[0]
