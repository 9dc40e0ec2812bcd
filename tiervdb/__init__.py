"""An embedded, tiered vector database with recovery as a first-class feature."""

from tiervdb import errors
from tiervdb.backup.copying import CopyResult
from tiervdb.backup.drill_words import DrillResult
from tiervdb.backup.expiring import ExpiryDecision, ExpiryResult
from tiervdb.backup.findings import VerifyFinding
from tiervdb.backup.holds import Hold
from tiervdb.backup.keys import Key
from tiervdb.backup.merging import MergeResult
from tiervdb.backup.pace import Limits
from tiervdb.backup.policy import Policy
from tiervdb.backup.repository import Repository
from tiervdb.backup.values import Backup, BackupSketch, PlannedRestore, RestorableWindow, RestoreResult
from tiervdb.backup.verify import VerifyReport
from tiervdb.config import Options, TierPolicy
from tiervdb.configuration.configuration import Configuration
from tiervdb.database.backups import Archived
from tiervdb.database.batch import Batch
from tiervdb.database.check import CheckReport, Finding, check
from tiervdb.database.collection import Collection
from tiervdb.database.database import Database
from tiervdb.database.hits import Hit, Hits, SearchStats
from tiervdb.database.open import drop, open
from tiervdb.database.recover import Recovery
from tiervdb.database.values import CollectionStats, IngestResult, PinInfo, Snapshot, Stats, Status, TierMove
from tiervdb.engine.tiering import TierResult
from tiervdb.storage.open import Store
from tiervdb.target import Target
from tiervdb.types import CollectionSchema, Column, Commit
from tiervdb.version import VERSION

__version__ = VERSION

__all__ = [
    "Archived",
    "Backup",
    "BackupSketch",
    "Batch",
    "CheckReport",
    "Collection",
    "CollectionSchema",
    "CollectionStats",
    "Column",
    "Commit",
    "Configuration",
    "CopyResult",
    "Database",
    "DrillResult",
    "ExpiryDecision",
    "ExpiryResult",
    "Finding",
    "Hit",
    "Hits",
    "Hold",
    "IngestResult",
    "Key",
    "Limits",
    "MergeResult",
    "Options",
    "PinInfo",
    "PlannedRestore",
    "Policy",
    "Recovery",
    "Repository",
    "RestorableWindow",
    "RestoreResult",
    "SearchStats",
    "Snapshot",
    "Stats",
    "Status",
    "Store",
    "Target",
    "TierMove",
    "TierPolicy",
    "TierResult",
    "VerifyFinding",
    "VerifyReport",
    "__version__",
    "check",
    "drop",
    "errors",
    "open",
]
