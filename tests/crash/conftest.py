"""What makes a crash in the middle of a process look like one."""

from __future__ import annotations

from tests.model.conftest import dead_processes_stay_quiet, one_inode

__all__ = ["dead_processes_stay_quiet", "one_inode"]
