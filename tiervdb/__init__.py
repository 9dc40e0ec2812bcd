"""An embedded, tiered vector database with recovery as a first-class feature."""

from tiervdb import errors
from tiervdb.config import Options, TierPolicy
from tiervdb.database.batch import Batch
from tiervdb.database.check import CheckReport, Finding, check
from tiervdb.database.collection import Collection
from tiervdb.database.database import Database
from tiervdb.database.hits import Hit, Hits, SearchStats
from tiervdb.database.open import drop, open
from tiervdb.database.values import CollectionStats, IngestResult, PinInfo, Snapshot, Stats, Status, TierMove
from tiervdb.engine.tiering import TierResult
from tiervdb.storage.open import Store
from tiervdb.target import Target
from tiervdb.types import CollectionSchema, Column, Commit

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "CheckReport",
    "Collection",
    "CollectionSchema",
    "CollectionStats",
    "Column",
    "Commit",
    "Database",
    "Finding",
    "Hit",
    "Hits",
    "IngestResult",
    "Options",
    "PinInfo",
    "SearchStats",
    "Snapshot",
    "Stats",
    "Status",
    "Store",
    "Target",
    "TierMove",
    "TierPolicy",
    "TierResult",
    "__version__",
    "check",
    "drop",
    "errors",
    "open",
]
