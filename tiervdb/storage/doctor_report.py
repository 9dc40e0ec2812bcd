"""What the doctor found in a store, and what each finding means for tiervdb: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Result = Literal["yes", "no", "failed", "skipped"]
Severity = Literal["ok", "warning", "fatal"]

# For each question: what "yes" means, what anything else means, and how bad that is.
_MEANINGS: dict[str, tuple[str, str, Severity]] = {
    "reachable": ("the store answers", "nothing can be done here: check URL, network and credentials", "fatal"),
    "writable": ("demotion and backups can write", "cold segments cannot be written with this key", "fatal"),
    "true to what was written": (
        "objects come back as written",
        "keep no data here: it comes back changed",
        "fatal",
    ),
    "range reads": ("a cold search fetches only what it needs", "cold segments cannot be searched here", "fatal"),
    "replaces objects": ("a new version is seen at once", "readers may see an old version after a new one", "fatal"),
    "creates if absent": (
        "of two writers one is stopped",
        "single-writer mode: never open a database with this store from two machines",
        "warning",
    ),
    "one winner of a race": (
        "also of writers at the same moment",
        "single-writer mode: never open a database with this store from two machines",
        "warning",
    ),
    "replaces if unchanged": (
        "documents can be changed safely",
        "documents are created, never changed",
        "warning",
    ),
    "lists after writing": (
        "epochs and pins are found",
        "pins of clones may be overlooked: make no clones, drop no database that has some",
        "warning",
    ),
    "copies": ("copies stay inside the store", "clones cannot bring over what is missing in their store", "warning"),
    "deletes": ("garbage is collected", "garbage stays and costs money", "warning"),
    "clock agrees": ("times of objects can be compared", "set the clock; above 15 minutes Amazon refuses", "warning"),
    "answers quickly": ("a cold search takes one or two round trips", "cold searches will be slow", "warning"),
    "cleaned up": ("nothing was left behind", "delete by hand what is named here", "warning"),
}
CONDITIONS = ("creates if absent", "one winner of a race")


@dataclass(frozen=True)
class StoreFinding:
    """``measured``: what was seen. ``meaning``: what it means for tiervdb."""

    question: str
    result: Result
    measured: str
    meaning: str
    severity: Severity


@dataclass(frozen=True)
class StoreReport:
    """``usable``: whether a database may keep cold segments there. ``read_only``: the key may read but not write.

    ``conditional``: whether one of several writers wins for sure. ``skew_us``: the store's clock minus ours.
    """

    url: str
    findings: tuple[StoreFinding, ...]
    read_only: bool
    skew_us: int | None = None

    @property
    def usable(self) -> bool:
        return not self.read_only and all(found.severity != "fatal" for found in self.findings)

    @property
    def conditional(self) -> bool:
        return all(self.answer(question) is True for question in CONDITIONS)

    def answer(self, question: str) -> bool | None:
        """Yes, no (a failure too), or None if it was not asked."""
        results = [found.result for found in self.findings if found.question == question]
        return None if not results or results[0] == "skipped" else results[0] == "yes"


def finding(question: str, result: Result, measured: str) -> StoreFinding:
    """A finding with its meaning."""
    good, bad, severity = _MEANINGS[question]
    if result == "yes":
        return StoreFinding(question, result, measured, good, "ok")
    if result == "skipped":
        return StoreFinding(question, result, measured, "unknown: it could not be asked", "warning")
    return StoreFinding(question, result, measured, bad, severity)
