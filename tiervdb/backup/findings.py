"""What a verification finds: in which object, what depends on it, and what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from tiervdb.errors import CorruptionError
from tiervdb.format import repository_paths as paths

_SHOWN = 8  # digits of a timeline's id

BACKUP_ADVICE = (
    'Make a full backup now (kind="full"), which depends on no earlier one; bring the object back from an off-site '
    "copy."
)
LOG_ADVICE = (
    "Make a backup now: from it on everything can be restored again; bring the part back from an off-site copy."
)
_PART_ADVICE = (
    "Bring the part back from an off-site copy. Without one, delete it if it is the last of its timeline: the writer "
    "sends it again, or records a gap; and make a backup."
)
REFERENCE_ADVICE = 'Make a full backup with cold="copy" while the database still has these rows.'
_DOCUMENT_ADVICE = "Bring the document back from an off-site copy."


@dataclass(frozen=True)
class VerifyFinding:
    """Something that is wrong: in which object, what depends on it, and what to do."""

    object: str
    problem: str
    depends: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        return f"{self.object}: {self.problem}. Depends on it: {', '.join(self.depends) or 'nothing'}. {self.advice}"


class Findings:
    """Collects them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[VerifyFinding] = []

    @property
    def found(self) -> tuple[VerifyFinding, ...]:
        return tuple(self._found)

    @property
    def objects(self) -> set[str]:
        """Those in which something is wrong."""
        return {finding.object for finding in self._found}

    def add(self, where: str, problem: str, depends: Iterable[str], advice: str) -> None:
        with self._lock:
            self._found.append(VerifyFinding(where, problem, tuple(dict.fromkeys(depends)), advice))

    def unreadable(self, key: str, error: CorruptionError) -> None:
        """A document, or the head of a part."""
        depends, advice = _meaning(paths.parse(key))
        self.add(key, f"it cannot be read ({error})", [depends], advice)


def log_from(timeline: str, first_seq: int) -> str:
    """What depends on a part of the log."""
    return f"timeline {timeline[:_SHOWN]} from commit {first_seq} on"


def _meaning(key: paths.RepositoryKey | None) -> tuple[str, str]:
    """What depends on a document, and what to do if it is damaged."""
    match key:
        case paths.BackupKey(id):
            return id, BACKUP_ADVICE
        case paths.PartKey(timeline, _, n):
            return f"timeline {timeline[:_SHOWN]} from its part {n} on", _PART_ADVICE
        case paths.MergedKey(timeline, _, first, last):
            return f"timeline {timeline[:_SHOWN]} from its part {first} to {last}", _PART_ADVICE
        case paths.ExpirationKey(id):
            return f"the reason why backup {id} is not listed", _DOCUMENT_ADVICE
        case paths.TimelineKey(id):
            return f"all restores on timeline {id[:_SHOWN]} and those that descend from it", _DOCUMENT_ADVICE
        case paths.RepositoryEpochKey(_):
            return "which timeline is the current one: no writer can begin", _DOCUMENT_ADVICE
        case paths.CompleteKey(timeline, _):
            return (
                f"until when timeline {timeline[:_SHOWN]} is known to be complete",
                "Its writer writes it anew; if it is gone for good, delete it.",
            )
        case paths.LeaseKey(_) | paths.RepositoryPinKey(_):
            return (
                "what expiry may delete: it deletes nothing until this is settled",
                "Delete it when nothing runs that could need it.",
            )
        case paths.HoldKey(_):
            return (
                "which backups expiry keeps: it deletes nothing until this is settled",
                "Bring the document back from an off-site copy, or delete it and hold again.",
            )
        case paths.OperationKey(_):
            return "a row of the catalog: what was done here once", "Delete it; nothing else needs it."
        case paths.KeySlot(_):
            return "the key that opens it", "Add the key again with one that still works, and remove this one."
        case _:
            return "", _DOCUMENT_ADVICE
