"""A database: its collections, commits, tiers, snapshots and copies."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from tiervdb.backup.create import AskedKind, Wish
from tiervdb.backup.pace import UNLIMITED, Limits
from tiervdb.backup.values import Backup, BackupSketch
from tiervdb.config import TierPolicy
from tiervdb.database import backups, history, pins, report, tiers
from tiervdb.database.arguments import check_note, to_path
from tiervdb.database.backups import Archived
from tiervdb.database.batch import Batch
from tiervdb.database.collection import Collection
from tiervdb.database.create import create_collection
from tiervdb.database.filters import Params
from tiervdb.database.inputs.schemas import ColumnType
from tiervdb.database.recover import Mode, RecoverWish, Recovery
from tiervdb.database.session import Session, named
from tiervdb.database.tiers import Progress
from tiervdb.database.values import PinInfo, PinList, Snapshot, Stats, Status, TierMove
from tiervdb.engine.tiering import TierResult
from tiervdb.errors import PinNotFoundError
from tiervdb.format.operations import DropCollection
from tiervdb.format.repository_documents import ColdMode
from tiervdb.target import Target
from tiervdb.types import Commit, IdType, Metric


class Database:
    """An open database, from ``tiervdb.open``. Thread-safe. Close it, or use it in a ``with`` statement.

    Every method raises ClosedError after ``close`` and ForkedError in a forked child; what writes raises ReadOnlyError
    where it was opened with ``read_only=True`` or through ``at``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def path(self) -> Path:
        """The database's directory."""
        return self._session.path

    @property
    def seq(self) -> int:
        """The number of the newest visible commit."""
        return self._session.view().seq

    @property
    def read_only(self) -> bool:
        """Whether it can only be read."""
        return self._session.read_only is not None

    # -- collections

    def create_collection(
        self,
        name: str,
        *,
        dim: int | None = None,
        metric: Metric | str = "cosine",
        id_type: IdType | str | None = None,
        columns: Mapping[str, ColumnType] | None = None,
        stored: Names[str] = (),
        exist_ok: bool = False,
        data: Any = None,
        id: str | None = None,
        vector: str | None = None,
    ) -> Collection:
        """Creates a collection of vectors with ``dim`` dimensions, and loads ``data`` if given.

        ``metric``: "cosine", "l2" (squared) or "ip" (inner product). ``id_type``: "string" (default) or "int64".
        ``columns``: types by name, as ``Collection.add_column`` takes them; those named in ``stored`` are kept in
        Parquet only once cold, and cannot be filtered on: for long text. ``exist_ok``: an equal one may exist already.

        ``data``: a pandas or polars data frame, an Arrow table, a DuckDB relation or a list of row dicts. What is not
        given is inferred from it; ``id`` and ``vector`` name its columns of ids and vectors. Everything is checked
        before the collection is made; its rows are a second commit.

        Raises AlreadyExistsError, SchemaError, InvalidInputError.
        """
        return create_collection(
            self._session,
            name,
            dim=dim,
            metric=metric,
            id_type=id_type,
            columns=columns,
            stored=stored,
            exist_ok=exist_ok,
            data=data,
            id=id,
            vector=vector,
        )

    def drop_collection(self, name: str) -> Commit:
        """Drops a collection with all its rows. Raises CollectionNotFoundError. Snapshots that hold it keep it."""
        shard = self._session.shard("drop a collection")
        return shard.commit([DropCollection(named(shard.view().catalog, name).id)])

    def collections(self) -> list[str]:
        """The names of all collections, sorted."""
        return self._session.view().collections()

    def __getitem__(self, name: str) -> Collection:
        """The collection of that name. Raises CollectionNotFoundError, which is also a KeyError."""
        return Collection(self._session, name, named(self._session.catalog(), name).id)

    def __iter__(self) -> Iterator[str]:
        """The names of all collections, sorted."""
        return iter(self.collections())

    def __contains__(self, name: object) -> bool:
        return name in self._session.view().collections()

    def __repr__(self) -> str:
        state = "closed" if self._session.closed else "read-only" if self.read_only else "open"
        return f"<Database {str(self._session.path)!r}, {state}>"

    # -- writing

    def batch(self, note: str | None = None) -> Batch:
        """Several writes, also to several collections, as one atomic commit::

        with db.batch(note="nightly import") as b:
            b["chunks"].delete(where="document = ?", params=[7])
            b["chunks"].upsert(ids=ids, vectors=vectors)
        """
        return Batch(self._session, check_note(note))

    def flush(self) -> None:
        """Moves what is in memory and in the log into segments on disk. Not needed for durability."""
        self._session.shard("flush").flush()

    def maintain(self) -> None:
        """Runs all due background work, graphs included, to its end."""
        self._session.shard("maintain").maintain()

    def hydrate(self, progress: Progress | None = None) -> None:
        """Fetches what a lazy restore left in the repository. Raises StorageError, CorruptionError; what came stays."""
        self._session.hydrate(progress)

    # -- tiers

    def demote(self, name: str, fraction: float = 1.0, *, progress: Progress | None = None) -> TierResult:
        """Moves rows of a collection to the cold store, the oldest first, until ``fraction`` (0 to 1) of it is there.

        ``progress(done, total)`` is called with rows. Raises StoreUnavailableError or StoreRefusedError; nothing is
        half moved then.
        """
        return tiers.demote(self._session, name, fraction, progress)

    def promote(self, name: str, fraction: float = 1.0, *, progress: Progress | None = None) -> TierResult:
        """Moves cold rows back to local disk, the newest first, until at least ``fraction`` (0 to 1) of all is hot.

        Whole cold segments move, so that it may be more.
        """
        return tiers.promote(self._session, name, fraction, progress)

    def plan_tiers(self, policy: TierPolicy) -> tuple[TierMove, ...]:
        """What background work would move now under a policy, each move with its reason; nothing moves.

        Searches are counted by a writer with ``open(tiering=...)``; elsewhere age alone decides. InvalidInputError.
        """
        return tiers.plan_tiers(self._session, policy)

    def warm(self, name: str) -> None:
        """Loads the indexes that searches of a collection use, so that the first search need not.

        Of cold segments, that is their sketches: copied to local disk as far as ``Options.sketch_bytes`` allows, and
        into memory as far as ``Options.resident_bytes`` does. Raises StoreUnavailableError.
        """
        tiers.warm(self._session, name)

    # -- snapshots and the past

    def snapshot(self, name: str, expires: datetime | timedelta | str | None = None) -> Snapshot:
        """Names the newest state and keeps it, at once and without a copy.

        ``expires``: when it goes by itself, a time with a zone or a span from now. Raises AlreadyExistsError, unless
        the snapshot of that name has expired: the new one takes its place.
        """
        return history.take_snapshot(self._session, name, expires)

    def snapshots(self) -> list[Snapshot]:
        """All snapshots, oldest first, with the bytes that only they keep."""
        return history.snapshots(self._session)

    def drop_snapshot(self, name: str | Snapshot) -> None:
        """Drops a snapshot; what only it kept is deleted later. Raises SnapshotNotFoundError."""
        shard = self._session.shard("drop a snapshot")
        shard.drop_snapshot(name.name if isinstance(name, Snapshot) else name)

    def pins(self) -> PinList:
        """What keeps files from being deleted: snapshots, readers and clones, also of other processes and machines.

        Clones' pins lie in a shared cold store, which is asked now; where it is away, ``.away`` of the list says so.
        """
        return pins.list_pins(self._session)

    def release_pin(self, id: str, *, dry_run: bool = False) -> PinInfo:
        """Releases the pin of a holder that is gone for good, and returns it: ``depends`` says what is lost with it.

        ``dry_run``: only return it. Raises PinNotFoundError; for a snapshot's pin InvalidInputError, for that of
        a reader that still reads StateError; FencedError if another writer has taken over the cold
        store, StoreUnavailableError.
        """
        if not isinstance(id, str):
            raise PinNotFoundError(f"{id!r} is no id of a pin; db.pins() lists them")
        return pins.release(self._session, id, dry_run)

    def at(
        self,
        point: Snapshot | Target | str | None = None,
        *,
        time: datetime | str | None = None,
        seq: int | None = None,
    ) -> Database:
        """The database as it was: at a snapshot (or its name), a Target, a time, or right after a commit. Read-only.

        What is held here no more is read from the repository, as it is touched. Close it, or use it in a ``with``
        statement. Raises OutsideWindowError where nothing reaches that point, and SnapshotNotFoundError.
        """
        return Database(history.session_at(self._session, history.to_target(point, time, seq)))

    def diff(self, name: str, before: Database | Snapshot | Target | str) -> pa.Table:
        """What is different in a collection since an earlier state: id, change, vector_changed, columns.

        ``before``: a ``Database`` from ``at``, or what ``at`` takes. ``change`` is "added", "removed" or "changed", and
        ``columns`` names those whose values differ. What lies in the same segments then and now is not read.
        """
        return history.diff(self._session, name, _past(self, before))

    def recover(
        self,
        name: str,
        before: Database | Snapshot | Target | str,
        *,
        where: str | None = None,
        params: Params = None,
        mode: Mode = "missing",
        leave_out: Names[str] = (),
        dry_run: bool = False,
    ) -> Recovery:
        """Brings rows of an earlier state back as one commit; a collection that was dropped is made again.

        ``mode``: rows that are "missing" now, those that are there but "changed", or "all"; ``where``, ``params``: only
        those that matched then. ``leave_out``: columns that are gone since and are to stay so. ``dry_run``: only say
        what would come back. Rows that are new since stay. Raises SchemaError where the collection is another one now.
        """
        wish = RecoverWish(mode, where, params, leave_out)
        return history.recover(self._session, name, _past(self, before), wish, dry_run)

    def refresh(self) -> int:
        """Moves a database that was opened with ``read_only=True`` to the newest commit, and returns its seq."""
        return history.refresh(self._session)

    def clone(self, path: str | Path, at: Snapshot | Target | str | None = None) -> Path:
        """Makes a new database at ``path`` that starts from this one, or from what it was ``at`` a point; open it next.

        Local files are hard links, objects in a shared cold store are pinned there: nothing is copied where that works.
        Raises AlreadyExistsError if the path exists.
        """
        return history.clone(
            self._session, to_path(path, "the new database's directory"), history.to_target(at, None, None)
        )

    def log(
        self,
        since: int | datetime | str | None = None,
        until: int | datetime | str | None = None,
        collection: str | None = None,
    ) -> pa.Table:
        """What was committed when, oldest first: timeline, seq, time, collection, operation, upserted, deleted, note.

        ``since``, ``until``: a seq or a time with a zone. A commit has a row for each operation and collection.
        """
        return report.log(self._session, since, until, collection)

    # -- the repository

    def backup(
        self,
        kind: AskedKind = "auto",
        *,
        cold: ColdMode = "copy",
        label: str | None = None,
        limits: Limits | None = None,
        progress: Progress | None = None,
        dry_run: bool = False,
    ) -> Backup | BackupSketch:
        """Backs up the newest state, both tiers with their indexes, while reading and writing go on.

        ``kind``: "full" sends all, "incremental" only what no listed backup has, "auto" what is possible; each lists
        all that it needs. ``cold``: "copy" cold objects, or leave them by "reference". ``progress(done, total)``
        is called with bytes. ``dry_run``: only say what would be sent. Raises NoRepositoryError, CorruptionError,
        FencedError, StorageError: nothing is listed then, and another call goes on where this one ended.
        """
        wish = Wish(kind, cold, label, limits or UNLIMITED)
        return backups.backup(self._session, wish, progress, dry_run)

    def archive(self) -> Archived:
        """Ships the log now. Raises NoRepositoryError, FencedError, ArchiveConflictError, StorageError."""
        return backups.archive(self._session)

    # -- how it stands

    def status(self) -> Status:
        """Who and where it is, its newest commit, and whether background work succeeds."""
        return report.status(self._session)

    def stats(self) -> Stats:
        """Rows, segments and bytes, by collection and tier."""
        return report.stats(self._session)

    def close(self) -> None:
        """Ends background work, syncs the log and releases the directory. Calling it again does nothing."""
        self._session.close()

    def __enter__(self) -> Self:
        self._session.check()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@contextmanager
def _past(db: Database, before: Database | Snapshot | Target | str) -> Iterator[Session]:
    """The session of an earlier state; one that is opened here is closed again."""
    if isinstance(before, Database):
        yield before._session
        return
    with db.at(before) as opened:
        yield opened._session
