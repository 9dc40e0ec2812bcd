"""What ``import tiervdb`` offers."""

from __future__ import annotations

import tiervdb


def test_the_public_names() -> None:
    assert tiervdb.__all__ == [
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
    assert all(hasattr(tiervdb, name) for name in tiervdb.__all__)


def test_every_public_name_is_explained() -> None:
    for name in tiervdb.__all__:
        thing = getattr(tiervdb, name)
        if callable(thing):
            assert thing.__doc__, name
    for kind in (tiervdb.Database, tiervdb.Collection, tiervdb.Hits, tiervdb.Batch):
        for name, member in vars(kind).items():
            if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                assert member.__doc__, f"{kind.__name__}.{name}"
