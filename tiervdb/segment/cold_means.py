"""What the cold segments of a database share: the store, local copies of sketches, memory, and threads that read."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from tiervdb.config import DEFAULT_RESIDENT_BYTES, DEFAULT_SKETCH_BYTES
from tiervdb.segment.residents import Residents
from tiervdb.segment.sketch_copies import SketchCopies
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore

READERS = 16  # objects that one wave reads side by side; the ranges of each are parallel anyway


def _readers() -> Executor:
    return ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="tiervdb-cold")


@dataclass(frozen=True)
class ColdMeans:
    """``pool``: all reads of searches go through it; its threads start with the first."""

    store: ObjectStore
    copies: SketchCopies
    residents: Residents
    pool: Executor = field(default_factory=_readers)

    def prepare(self) -> None:
        """Makes the store ready for the first search, in the background."""
        self.pool.submit(self.store.prepare)

    def close(self) -> None:
        """Ends the threads."""
        self.pool.shutdown(wait=False)


def cold_means(
    local: LocalDir,
    store: ObjectStore,
    sketch_bytes: int = DEFAULT_SKETCH_BYTES,
    resident_bytes: int = DEFAULT_RESIDENT_BYTES,
) -> ColdMeans:
    """The means of one open database. ``sketch_bytes``: disk for local copies. ``resident_bytes``: memory for lists."""
    return ColdMeans(store, SketchCopies(local, sketch_bytes), Residents(resident_bytes))
