"""The folder that the demo works in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tiervdb.errors import AlreadyExistsError

DEFAULT = Path("demo-db")
MARK = "made-by-tiervdb-demo"  # only a folder that holds it is ever replaced


@dataclass(frozen=True)
class Place:
    """``words``: the database. ``copy``: its clone. ``repository``: where its backups go."""

    root: Path

    @property
    def words(self) -> Path:
        return self.root / "words"

    @property
    def copy(self) -> Path:
        return self.root / "copy"

    @property
    def repository(self) -> Path:
        return self.root / "repository"


def prepare(root: Path) -> tuple[Place, bool]:
    """An empty folder, and whether an earlier demo's was replaced. AlreadyExistsError for anything else: it stays."""
    replaced = (root / MARK).is_file()
    if replaced:
        shutil.rmtree(root)
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise AlreadyExistsError(
            f"the demo would write to {root}, which exists and is not an earlier demo's; choose another --path"
        )
    root.mkdir(parents=True, exist_ok=True)
    (root / MARK).write_text("This folder was made by `tiervdb demo`, and the next run replaces it.\n")
    return Place(root), replaced
