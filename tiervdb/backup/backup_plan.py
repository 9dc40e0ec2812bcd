"""What a backup sends and what it reuses: decided from lists alone, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tiervdb.format.manifest import FileRef, Manifest
from tiervdb.format.repository_documents import BackupDocument, BackupFile, ColdMode, FileRole, StoredObject

Kind = Literal["full", "incremental"]
Content = tuple[str, int]  # SHA-256 and size


@dataclass(frozen=True)
class Item:
    """A file or object that belongs to the state. ``kind``, ``segment``, ``collection``: see BackupFile."""

    name: str
    role: FileRole
    size: int
    sha256: str
    kind: str = ""
    segment: str | None = None
    collection: int | None = None

    @property
    def content(self) -> Content:
        return self.sha256, self.size

    def stored(self, stored: StoredObject | None) -> BackupFile:
        return BackupFile(
            name=self.name,
            role=self.role,
            size=self.size,
            sha256=self.sha256,
            kind=self.kind,
            segment=self.segment,
            collection=self.collection,
            object=stored,
        )


@dataclass(frozen=True)
class BackupPlan:
    """``send``: what has to be sent, each content once. ``reuse``: what is there, and whose it is by backup id.

    ``referenced``: cold objects that stay where they are. ``log_bytes``: of the log that is sent beside, about.
    """

    kind: Kind
    send: tuple[Item, ...]
    reuse: Mapping[Content, StoredObject]
    backups: tuple[str, ...]
    referenced: tuple[Item, ...]
    total_bytes: int

    @property
    def send_bytes(self) -> int:
        return sum(item.size for item in self.send)


def items_of(manifest: Manifest) -> list[Item]:
    """All that a manifest lists, in both tiers."""
    found: dict[str, Item] = {}
    for segment in manifest.segments:
        deleted = {} if segment.deletions is None else {"deletions": segment.deletions}
        for kind, file in {**segment.files, **deleted}.items():
            found[file.name] = _item(file, "local", kind, segment.collection, segment.id)
        for kind, file in segment.objects.items():
            found[file.name] = _item(file, "cold", kind, segment.collection, segment.id)
    for book in manifest.codebooks:
        found[book.file.name] = _item(book.file, "local", "codebook", book.collection)
        if book.object is not None:
            found[book.object.name] = _item(book.object, "cold", "codebook", book.collection)
    return list(found.values())


def _item(file: FileRef, role: FileRole, kind: str, collection: int, segment: str | None = None) -> Item:
    return Item(file.name, role, file.size, file.sha256, kind, segment, collection)


def plan(items: Sequence[Item], kind: Kind, cold: ColdMode, known: Iterable[BackupDocument]) -> BackupPlan:
    """``known``: listed backups whose objects may be reused, oldest first."""
    referenced = tuple(item for item in items if item.role == "cold" and cold == "reference")
    wanted = {item.content: item for item in items if item not in set(referenced)}
    reuse: dict[Content, StoredObject] = {}
    owners: dict[Content, str] = {}
    if kind == "incremental":
        for backup in known:
            for file in backup.files:
                content = file.sha256, file.size
                if file.object is not None and content in wanted:
                    reuse[content], owners[content] = file.object, backup.id  # the newest: it stays longest
    return BackupPlan(
        kind=kind,
        send=tuple(item for content, item in wanted.items() if content not in reuse),
        reuse=reuse,
        backups=tuple(sorted(set(owners.values()))),
        referenced=referenced,
        total_bytes=sum(item.size for item in items),
    )


def kind_for(asked: Literal["full", "incremental", "auto"], known: Sequence[BackupDocument]) -> Kind:
    """Full where there is nothing to build on, or where that is asked."""
    return "full" if asked == "full" or not known else "incremental"
