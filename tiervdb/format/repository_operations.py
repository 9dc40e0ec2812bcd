"""The documents that say what was done with a repository, by whom: restores, verifications, copies, expiries, drills,
holds; and what a published catalog consists of. See docs/formats/repository.md.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tiervdb.format.documents import DocumentBase, Owner, decode_as, require_ids
from tiervdb.format.envelope import damaged
from tiervdb.format.repository_paths import CatalogStateKey, parse


class OperationBase(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="operation"):
    """What every operation says. ``error``: why it failed; None if it did not."""

    id: str
    started_us: int
    finished_us: int
    owner: Owner
    error: str | None = None


class RestoreOperation(OperationBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="restore"):
    """``target``: as it was asked for. ``from_timeline``, ``seq``, ``time_us``: the state; ``timeline``,
    ``database_id``: the new database's. None where it failed before."""

    target: str
    path: str
    attached: bool
    lazy: bool
    delta: bool
    backup: str | None = None
    from_timeline: str | None = None
    seq: int | None = None
    time_us: int | None = None
    timeline: str | None = None
    database_id: str | None = None
    fetched_bytes: int = 0
    kept_bytes: int = 0


class FindingRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is missing or damaged, and what depends on it."""

    object: str
    problem: str
    depends: tuple[str, ...] = ()


class CloneOperation(OperationBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="clone"):
    """A clone of the database that archives here, at ``seq`` of ``from_timeline``: another database from then on."""

    path: str
    from_timeline: str
    seq: int
    time_us: int
    timeline: str
    database_id: str


class VerifyOperation(OperationBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="verify"):
    """``sample``: the share that was read, of 1; None: all of it if ``deep``, else nothing."""

    deep: bool
    sample: float | None = None
    backups: int = 0
    objects: int = 0
    parts: int = 0
    read_objects: int = 0
    read_bytes: int = 0
    findings: tuple[FindingRecord, ...] = ()


class CopyOperation(OperationBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="copy"):
    """Kept in both repositories."""

    source_url: str
    target_url: str
    backups: int = 0
    skipped_backups: int = 0
    objects: int = 0
    bytes: int = 0
    parts: int = 0


class ExpireOperation(OperationBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="expire"):
    """``policy``: in words; None where backups were named. ``backups``: ids of what was unlisted."""

    policy: str | None = None
    backups: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0
    parts: int = 0


class DrillOperation(OperationBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="drill"):
    """A restore that was tried. Seconds from its beginning: ``open_seconds`` until the database was open,
    ``first_query_seconds`` until a search was answered, ``hydrated_seconds`` until all was local.

    ``rpo_seconds``: how old the newest restorable moment was when the drill began. ``recall``: of ``golden_queries``
    searches against exact ones; ``golden_share``: of the neighbours that the backup's document names, found again.
    ``rows``: in all collections. ``problems``: what did not hold.
    """

    target: str
    lazy: bool
    timeline: str | None = None
    seq: int | None = None
    time_us: int | None = None
    backup: str | None = None
    collections: int = 0
    rows: int = 0
    checked_files: int = 0
    fetched_bytes: int = 0
    open_seconds: float | None = None
    first_query_seconds: float | None = None
    hydrated_seconds: float | None = None
    rpo_seconds: float | None = None
    golden_queries: int = 0
    recall: float | None = None
    golden_share: float | None = None
    problems: tuple[str, ...] = ()


class JobOperation(OperationBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="job"):
    """An attempt of an agent at a scheduled job. ``due_us``: when it had to be done; ``attempt``: from 1 on.

    ``summary``: what came of it, in words.
    """

    job: str
    due_us: int
    attempt: int
    summary: str = ""


Operation = (
    RestoreOperation
    | CloneOperation
    | VerifyOperation
    | CopyOperation
    | ExpireOperation
    | DrillOperation
    | JobOperation
)


class HoldDocument(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps a backup, or all of a ``label``, from expiring, until it is released. One of both is given."""

    id: str
    created_us: int
    owner: Owner
    reason: str
    backup: str | None = None
    label: str | None = None
    released_us: int | None = None
    released_by: Owner | None = None


class CatalogPointer(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``catalog/current.json``: the newest complete publication.

    ``directory``: below the repository, with the tables as Parquet files; None in an encrypted one. ``tables``: the
    files of each table in it; ``pieces``: of those of ``backup_objects``, what tells one from another. ``state``: what
    the catalog is made of, so that it need not be read again, in order.
    """

    published_us: int
    directory: str | None = None
    tables: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    pieces: dict[str, str] = msgspec.field(default_factory=dict)
    state: tuple[str, ...] = ()


def decode_operation(data: bytes, name: str) -> Operation:
    """Raises CorruptionError or NewerFormatError naming ``name``, like all decoders here."""
    any_of: Any = Operation
    document: Operation = decode_as(data, name, any_of)
    require_ids(name, document.id)
    return document


def decode_hold(data: bytes, name: str) -> HoldDocument:
    document = decode_as(data, name, HoldDocument)
    require_ids(name, document.id, *([] if document.backup is None else [document.backup]))
    if (document.backup is None) == (document.label is None):
        raise damaged(name, "it holds neither a backup nor a label, or both")
    return document


def decode_pointer(data: bytes, name: str) -> CatalogPointer:
    document = decode_as(data, name, CatalogPointer)
    for key in document.state:
        if not isinstance(parse(key), CatalogStateKey):
            raise damaged(name, f"it names {key!r}")
    return document
