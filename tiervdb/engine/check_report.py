"""What ``tiervdb check`` found, and how its parts note it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from tiervdb.errors import ObjectNotFoundError, StoreRefusedError, StoreUnavailableError, TiervdbError

Severity = Literal["error", "warning", "info"]
RESTORE = "restore the file from a clone or a backup"


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be. ``advice`` says what to do."""

    severity: Severity
    file: str
    problem: str
    advice: str


@dataclass
class Report:
    """What was looked at, and what was found. ``bytes``: read and compared with their checksums."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    bytes: int = 0

    @property
    def ok(self) -> bool:
        return not any(f.severity == "error" for f in self.findings)

    def error(self, file: str, problem: str, advice: str = RESTORE) -> None:
        self.findings.append(Finding("error", file, problem, advice))


Progress = Callable[[str], None]
_T = TypeVar("_T")


def attempt(report: Report, file: str, action: Callable[[], _T]) -> _T | None:
    """What ``action`` answers; None, and a finding about ``file``, if it raises."""
    try:
        return action()
    except ObjectNotFoundError as error:
        report.error(file, f"it is missing ({error})")
    except (StoreUnavailableError, StoreRefusedError) as error:
        report.error(file, f"it could not be checked: {error}", "check again when the store can be reached")
    except TiervdbError as error:
        report.error(file, str(error))
    return None
