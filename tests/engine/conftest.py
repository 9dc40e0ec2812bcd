"""A directory and a clock that do only what a test tells them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.crash_dir import CrashDir
from tiervdb.clock import ManualClock
from tiervdb.storage.os_dir import OsDir


@pytest.fixture
def os_dir(tmp_path: Path) -> OsDir:
    return OsDir(tmp_path / "db", sync=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def rng() -> random.Random:
    return random.Random(1)


@pytest.fixture
def crash_dir(tmp_path: Path) -> CrashDir:
    return CrashDir(tmp_path / "db")
