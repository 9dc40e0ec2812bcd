"""Whether a database may be used right now, and by whom: the one door from the public objects to the engine."""

from __future__ import annotations

import os
import threading

import pyarrow as pa

from tiervdb.clock import Clock
from tiervdb.database.inputs.names import hint
from tiervdb.engine import commit_log
from tiervdb.engine.core import Surroundings
from tiervdb.engine.reader import Reader, ReaderSurroundings
from tiervdb.engine.shard import Shard
from tiervdb.engine.view import View
from tiervdb.errors import ClosedError, CollectionNotFoundError, ForkedError, ReadOnlyError
from tiervdb.format.documents import Identity
from tiervdb.format.manifest import Manifest
from tiervdb.types import CollectionSchema


class Session:
    """A shard that is written, or a state that is read, for one Database and all its collections. Thread-safe."""

    def __init__(self, source: Shard | Reader, identity: Identity, clock: Clock, read_only: str | None) -> None:
        """``read_only``: why it cannot be written, as messages say it; None: it can."""
        self.path = source.core.env.local.root if isinstance(source, Shard) else source.env.local.root
        self.identity = identity
        self.clock = clock
        self.read_only = read_only
        self._source = source
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def env(self) -> Surroundings | ReaderSurroundings:
        """The directory, its manifests and how its segments are opened."""
        return self._source.core.env if isinstance(self._source, Shard) else self._source.env

    @property
    def closed(self) -> bool:
        return self._closed

    def check(self) -> None:
        """Raises ClosedError after close and ForkedError in a child process."""
        if self._closed:
            raise ClosedError(f"the database {self.path} was closed; open it again")
        if os.getpid() != self._pid:
            raise ForkedError(
                f"the database {self.path} was opened in process {self._pid} and cannot be used in its child "
                f"{os.getpid()}; open it after the fork, with read_only=True if the parent writes"
            )

    def view(self) -> View:
        """The state to read."""
        self.check()
        return self._source.view()

    def schema(self, view: View, name: str, number: int) -> CollectionSchema:
        """The collection's schema in a view. CollectionNotFoundError if it was dropped, also if its name is taken."""
        schema = named(view, name)
        if schema.id != number:
            raise CollectionNotFoundError(
                f"the collection {name!r} was dropped, and there is a new one of that name; get it with db[{name!r}]"
            )
        return schema

    def shard(self, doing: str) -> Shard:
        """The shard to write to; ReadOnlyError if this database is only read."""
        self.check()
        if self.read_only is not None or not isinstance(self._source, Shard):
            raise ReadOnlyError(f"cannot {doing}: {self.path} is {self.read_only}")
        return self._source

    def reader(self) -> Reader | None:
        """The reader beside a writer; None where the database is written here."""
        self.check()
        return self._source if isinstance(self._source, Reader) else None

    def manifest(self) -> Manifest:
        """What the state begins with: its segments in both tiers."""
        self.check()
        return self._source.manifest()

    def log(self) -> pa.Table:
        """What was committed up to the state's seq, as far as it is still known here."""
        view = self.view()
        names = {c.id: c.name for c in view.catalog.collections.values()}
        return commit_log.table(commit_log.read(self.env.local, self.env.shard, view.seq, names))

    def close(self) -> None:
        """Ends it, once; a second call and a call in a forked child do nothing, for the parent still uses the files."""
        with self._lock:
            if self._closed or os.getpid() != self._pid:
                return
            self._closed = True
        if isinstance(self._source, Shard):
            self._source.close()
        del self._source  # a reader's pin goes with its view


def named(view: View, name: object) -> CollectionSchema:
    """The collection of that name, or CollectionNotFoundError with the nearest name there is."""
    known = view.collections()
    if not isinstance(name, str) or name not in known:
        raise CollectionNotFoundError(f"there is no collection {name!r}; {hint(str(name), known)}")
    return view.schema(name)
