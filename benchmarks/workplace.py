"""Where benchmarks keep data and indexes: outside the repository, under ~/.cache/tiervdb/bench or $TIERVDB_BENCH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def home() -> Path:
    """The folder of all benchmark data, created if it is missing."""
    folder = Path(os.environ.get("TIERVDB_BENCH", "~/.cache/tiervdb/bench")).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def built(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, made by ``make(folder)`` unless an earlier run finished it."""
    folder = home() / name
    if not folder.exists():
        making = scratch(f"{name}.{os.getpid()}")
        making.mkdir()
        make(making)
        making.rename(folder)
    return folder


def scratch(name: str) -> Path:
    """A path on the same disk where nothing is yet."""
    folder = home() / "scratch" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder
