"""What a backup sends and what it reuses: decided from lists alone, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tiervdb.engine.core import manifest_objects
from tiervdb.engine.gc import references_of
from tiervdb.format.manifest import Manifest
from tiervdb.format.repository_documents import BackupDocument, BackupFile, ColdMode, FileRole, StoredObject

Kind = Literal["full", "incremental"]
Content = tuple[str, int]  # SHA-256 and size


@dataclass(frozen=True)
class Item:
    """A file or object that belongs to the state."""

    name: str
    role: FileRole
    size: int
    sha256: str

    @property
    def content(self) -> Content:
        return self.sha256, self.size

    def stored(self, stored: StoredObject | None) -> BackupFile:
        return BackupFile(name=self.name, role=self.role, size=self.size, sha256=self.sha256, object=stored)


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
    cold = set(manifest_objects(manifest))
    found: dict[str, Item] = {}
    for reference in references_of(manifest):
        role: FileRole = "cold" if reference.name in cold else "local"
        found[reference.name] = Item(reference.name, role, reference.size, reference.sha256)
    return list(found.values())


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
