"""What makes a crash in the middle of a process look like one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from unittest.mock import patch

import pytest

from tests.support.crash_dir import CrashPoint
from tiervdb.engine import reader
from tiervdb.storage import place


@pytest.fixture(autouse=True)
def one_inode() -> Iterator[None]:
    """Copies of a directory that a test starts from pass for the original."""
    with patch.object(place, "inode", lambda root: 1):
        yield


@pytest.fixture(autouse=True)
def dead_processes_stay_quiet() -> Iterator[None]:
    """A reader whose machine is off does not give its pin back; an exception in its finalizer would be a warning."""
    unpin: Callable[..., None] = reader._unpin

    def quiet(*args: object) -> None:
        with suppress(CrashPoint):
            unpin(*args)

    with patch.object(reader, "_unpin", quiet):
        yield
