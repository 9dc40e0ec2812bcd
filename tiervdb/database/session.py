"""Whether a database may be used right now, and by whom: the one door from the public objects to the engine."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable

import pyarrow as pa

from tiervdb.backup.hydrate import Hydrator
from tiervdb.backup.repository import Repository
from tiervdb.clock import Clock
from tiervdb.database import forgotten
from tiervdb.database.inputs.names import hint
from tiervdb.database.protection import Protection
from tiervdb.database.totals import SearchCounter
from tiervdb.engine import commit_log
from tiervdb.engine.catalog import CatalogState
from tiervdb.engine.core import Surroundings
from tiervdb.engine.reader import Reader, ReaderSurroundings
from tiervdb.engine.shard import Shard
from tiervdb.engine.view import View
from tiervdb.errors import ClosedError, CollectionNotFoundError, ForkedError, ReadOnlyError, TiervdbError
from tiervdb.format.documents import Identity
from tiervdb.format.manifest import Manifest
from tiervdb.types import CollectionSchema

_log = logging.getLogger("tiervdb")
_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """A shard that is written, or a state that is read, for one Database and all its collections. Thread-safe.

    Nothing but these refers to it, no thread of the engine either: with the last of them a forgotten session is
    garbage, and is closed then.
    """

    def __init__(
        self,
        source: Shard | Reader,
        identity: Identity,
        clock: Clock,
        read_only: str | None,
        *,
        shares: Session | None = None,
        repository: Repository | None = None,
        protection: Protection | None = None,
        hydrator: Hydrator | None = None,
    ) -> None:
        """``read_only``: why it cannot be written, as messages say it; None: it can.

        ``shares``: the session whose cold store the source uses, and which closes it.
        """
        self.path = forgotten.directory(source).root
        self.identity = identity
        self.clock = clock
        self.read_only = read_only
        self._source: Shard | Reader | None = source
        self._shares = shares
        self.repository: Repository | None = repository if shares is None else shares.repository
        self.protection = protection
        self.hydrator = hydrator  # of a lazy restore that is not all here yet
        self.on_close: Callable[[], None] | None = None
        self._pid = os.getpid()
        self.searches = SearchCounter()
        self._lock = threading.Lock()
        self._forgotten: weakref.finalize[..., Session] | None = None
        if shares is None:  # else there is only a pin, which goes with its view
            self._forgotten = forgotten.close_with(self, source, identity)
        _sessions.add(self)

    @property
    def closed(self) -> bool:
        return self._source is None

    def check(self) -> None:
        """Raises ClosedError after close and ForkedError in a child process."""
        self._use()

    @property
    def env(self) -> Surroundings | ReaderSurroundings:
        """The directory, its manifests and how its segments are opened."""
        source = self._use()
        return source.core.env if isinstance(source, Shard) else source.env

    def view(self) -> View:
        """The state to read."""
        return self._use().view()

    def catalog(self) -> CatalogState:
        """The collections in the state to read; cheaper than a view where nothing is read."""
        return self._use().catalog()

    def shard(self, doing: str) -> Shard:
        """The shard to write to; ReadOnlyError if this database is only read."""
        source = self._use()
        if self.read_only is not None or not isinstance(source, Shard):
            raise ReadOnlyError(f"cannot {doing}: {self.path} is {self.read_only}")
        return source

    def reader(self) -> Reader | None:
        """The reader beside a writer; None where the database is written here."""
        source = self._use()
        return source if isinstance(source, Reader) else None

    def manifest(self) -> Manifest:
        """What the state begins with: its segments in both tiers."""
        return self._use().manifest()

    def log(self) -> pa.Table:
        """What was committed up to the state's seq, as far as it is still known here."""
        view, env = self.view(), self.env
        names = {c.id: c.name for c in view.catalog.collections.values()}
        found = commit_log.read(env.local, env.shard, view.seq, names)
        logged = {op.collection: op.name for c in found for op in c.commit.operations if op.collection and op.name}
        if logged.keys() - names.keys():  # collections that were dropped are named by the commits that made them
            found = commit_log.read(env.local, env.shard, view.seq, {**logged, **names})
        return commit_log.table(found)

    def hydrate(self, progress: Callable[[int, int], None] | None) -> None:
        """Fetches what a lazy restore left elsewhere, if anything."""
        self.check()
        if self.hydrator is not None:
            self.hydrator.run(progress)

    def close(self) -> None:
        """Ends it, once; a second call and a call in a forked child do nothing, for the parent still uses the files."""
        with self._lock:
            source = self._source
            if source is None or os.getpid() != self._pid:
                return
            self._source = None  # a reader's pin goes with its view
        if self._forgotten is not None:
            self._forgotten.detach()
            source.close()
        if self.on_close is not None:
            self.on_close()

    def _use(self) -> Shard | Reader:
        source = self._source
        if source is None:
            raise ClosedError(f"the database {self.path} was closed; open it again")
        if os.getpid() != self._pid:
            raise ForkedError(
                f"the database {self.path} was opened in process {self._pid} and cannot be used in its child "
                f"{os.getpid()}; open it after the fork, with read_only=True if the parent writes"
            )
        return source


@atexit.register
def _close_all() -> None:
    """What a program forgot to close is closed at its end: the log is sealed, threads and connections go in order."""
    for session in list(_sessions):
        source = session._source
        if source is None or forgotten.is_there(forgotten.directory(source), session.identity) is None:
            continue
        try:
            session.close()
        except TiervdbError as error:  # the others are to be closed too
            _log.error("closing %s at the end of the program failed: %s", session.path, error)


def numbered(catalog: CatalogState, name: str, number: int) -> CollectionSchema:
    """The collection of that name and number. CollectionNotFoundError if it was dropped, also if its name is taken."""
    schema = catalog.collections.get(number)
    if schema is not None and schema.name == name:
        return schema
    named(catalog, name)
    raise CollectionNotFoundError(
        f"the collection {name!r} was dropped, and there is a new one of that name; get it with db[{name!r}]"
    )


def named(catalog: CatalogState, name: object) -> CollectionSchema:
    """The collection of that name, or CollectionNotFoundError with the nearest name there is."""
    for schema in catalog.collections.values():
        if isinstance(name, str) and schema.name == name:
            return schema
    known = sorted(schema.name for schema in catalog.collections.values())
    raise CollectionNotFoundError(f"there is no collection {name!r}; {hint(str(name), known)}")
