"""The names that users may rely on. Whoever changes this list changes the API: it belongs in the changelog."""

from __future__ import annotations

import inspect

import tiervdb

PUBLIC = [
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

DATABASE = [
    "archive",
    "at",
    "backup",
    "batch",
    "clone",
    "close",
    "collections",
    "create_collection",
    "demote",
    "diff",
    "drop_collection",
    "drop_snapshot",
    "flush",
    "hydrate",
    "log",
    "maintain",
    "path",
    "pins",
    "plan_tiers",
    "promote",
    "read_only",
    "recover",
    "refresh",
    "release_pin",
    "seq",
    "snapshot",
    "snapshots",
    "stats",
    "status",
    "warm",
]

COLLECTION = [
    "add_column",
    "count",
    "delete",
    "drop_column",
    "get",
    "ingest",
    "name",
    "scan",
    "schema",
    "search",
    "update",
    "upsert",
]


def public(of: object) -> list[str]:
    return sorted(name for name in vars(of) if not name.startswith("_"))


def test_names_of_the_package() -> None:
    assert sorted(tiervdb.__all__) == PUBLIC
    assert all(hasattr(tiervdb, name) for name in PUBLIC)


def test_names_of_a_database() -> None:
    assert public(tiervdb.Database) == DATABASE


def test_names_of_a_collection() -> None:
    assert public(tiervdb.Collection) == COLLECTION


def test_everything_public_has_a_docstring() -> None:
    functions = [getattr(tiervdb, name) for name in PUBLIC if callable(getattr(tiervdb, name))]
    methods = [getattr(kind, name) for kind in (tiervdb.Database, tiervdb.Collection) for name in public(kind)]
    without = [each for each in (*functions, *methods) if not inspect.getdoc(each)]
    assert without == []


def test_every_error_has_a_docstring_an_exit_code_and_a_place_in_the_tree() -> None:
    kinds = [kind for kind in vars(tiervdb.errors).values() if isinstance(kind, type)]
    errors = [kind for kind in kinds if issubclass(kind, tiervdb.errors.TiervdbError)]
    tree = inspect.getdoc(tiervdb.errors) or ""
    assert all(kind.__name__ in tree for kind in errors)
    assert all(kind.__doc__ and 1 <= kind.exit_code <= 9 for kind in errors)
