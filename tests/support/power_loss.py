"""What a power loss takes from a directory tree: a record of all that is not durable yet, and the rollback.

Entries: each folder keeps the entries of its last sync. With a seed it also keeps some first changes made after it,
each folder as many as it likes; but a file that was renamed never vanishes from both names, and a rename within one
folder is one change, as on journaling file systems.

Bytes: each file keeps what was in it at its last sync. With a seed, of the bytes appended since then it also keeps a
part: the first ones; the first ones and then zeros (the size arrived, the data did not); or sectors here and there.
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

_SECTOR = 512


@dataclass(eq=False)
class _File:
    """``durable``: bytes that a power loss leaves. ``before``: these bytes, where they were written over or cut off."""

    durable: int
    before: bytes | None = None


@dataclass(frozen=True)
class _State:
    """What a name stood for: nothing, or a file that a hard link keeps."""

    file: _File | None = None
    shadow: Path | None = None


@dataclass(eq=False)
class _Change:
    path: Path
    was: _State
    removes: bool = False
    pair: _Change | None = field(default=None, repr=False)  # the other half of a rename


class PowerLoss:
    """Is told of every step after its effect. Names it has not heard of are durable as they are."""

    def __init__(self, shadow: Path) -> None:
        self._shadow = shadow
        self._files: dict[Path, _File] = {}
        self._pending: dict[Path, list[_Change]] = {}
        self._kept = 0

    # What happens.

    def created(self, path: Path) -> None:
        self._files[path] = _File(0)
        self._note(_Change(path, _State()))

    def made_folder(self, path: Path) -> None:
        self._note(_Change(path, _State()))

    def touching(self, path: Path) -> None:
        """Before bytes are appended."""
        self._file(path)

    def overwriting(self, path: Path) -> None:
        """Before bytes are changed in place or cut off."""
        file = self._file(path)
        if file.before is None and path.exists():
            file.before = path.read_bytes()[: file.durable]

    def synced(self, path: Path) -> None:
        if path.exists():
            self._files[path] = self._file(path)
            self._files[path].durable, self._files[path].before = path.stat().st_size, None

    def state(self, path: Path) -> _State:
        """What a name stands for, to be asked before it is taken away."""
        if not path.is_file():
            return _State()
        self._shadow.mkdir(exist_ok=True)
        self._kept += 1
        shadow = self._shadow / str(self._kept)
        os.link(path, shadow)
        return _State(self._file(path), shadow)

    def renamed(self, old: Path, new: Path, was_old: _State, was_new: _State) -> None:
        if was_old.file is None:  # a folder: all that is in it goes along
            self._move(old, new)
        else:
            self._files.pop(old, None)
            self._files[new] = was_old.file
        added, removed = _Change(new, was_new), _Change(old, was_old, removes=True)
        added.pair, removed.pair = removed, added
        self._note(added)
        self._note(removed)

    def linked(self, source: Path, target: Path) -> None:
        self._files[target] = self._file(source)
        self._note(_Change(target, _State()))

    def unlinked(self, path: Path, was: _State) -> None:
        self._files.pop(path, None)
        self._note(_Change(path, was, removes=True))

    def synced_folder(self, path: Path) -> None:
        self._pending.pop(path, None)

    # The end.

    def strike(self, seed: int | None = None) -> None:
        """Takes away what is not durable. Whatever is left is durable."""
        chance = None if seed is None else random.Random(seed)
        kept = self._choose_changes(chance)
        for folder in sorted(self._pending, key=lambda f: len(f.parts), reverse=True):
            for change in reversed(self._pending[folder][kept[folder] :]):
                self._undo(change)
        done: set[_File] = set()
        for path, file in self._files.items():
            if file not in done and path.is_file():
                done.add(file)
                _strike_bytes(path, file, chance)
        shutil.rmtree(self._shadow, ignore_errors=True)
        self._files.clear()
        self._pending.clear()

    def _choose_changes(self, chance: random.Random | None) -> dict[Path, int]:
        """How many of the changes of each folder stay."""
        if chance is None:
            return dict.fromkeys(self._pending, 0)
        kept = {folder: chance.randint(0, len(changes)) for folder, changes in self._pending.items()}
        while self._widen(kept):
            pass
        return kept

    def _widen(self, kept: dict[Path, int]) -> bool:
        """Keeps an addition whose removal is kept, and a whole rename within a folder; says whether it had to."""
        for folder, changes in self._pending.items():
            for change in changes[: kept[folder]]:
                there = change.pair.path.parent if change.pair else None
                if there not in self._pending or not (change.removes or there == folder):
                    continue
                if change.pair in self._pending[there][kept[there] :]:
                    kept[there] = self._pending[there].index(change.pair) + 1
                    return True
        return False

    def _undo(self, change: _Change) -> None:
        path, was = change.path, change.was
        if path.is_dir():
            if change.pair is not None:
                path.rename(change.pair.path)
                self._move(path, change.pair.path)
            else:
                shutil.rmtree(path)
            return
        path.unlink(missing_ok=True)
        self._files.pop(path, None)
        if was.shadow is not None and was.file is not None:
            path.parent.mkdir(parents=True, exist_ok=True)  # removing an empty folder is never noted
            os.link(was.shadow, path)
            self._files[path] = was.file

    def _move(self, old: Path, new: Path) -> None:
        self._files = {_moved(path, old, new): file for path, file in self._files.items()}
        self._pending = {_moved(path, old, new): changes for path, changes in self._pending.items()}
        for change in (change for changes in self._pending.values() for change in changes):
            change.path = _moved(change.path, old, new)

    def _note(self, change: _Change) -> None:
        self._pending.setdefault(change.path.parent, []).append(change)

    def _file(self, path: Path) -> _File:
        if path not in self._files:
            self._files[path] = _File(path.stat().st_size if path.exists() else 0)
        return self._files[path]


def _moved(path: Path, old: Path, new: Path) -> Path:
    return new / path.relative_to(old) if path.is_relative_to(old) else path


def _strike_bytes(path: Path, file: _File, chance: random.Random | None) -> None:
    content = path.read_bytes() if file.before is not None or chance else b""
    size = path.stat().st_size
    if file.before is not None:
        path.write_bytes(file.before if chance is None else _mixed(file.before, content, chance))
    elif size > file.durable:
        tail = b"" if chance is None else _surviving(content[file.durable :], chance)
        with path.open("r+b") as out:
            out.truncate(file.durable)
            out.seek(file.durable)
            out.write(tail)


def _mixed(before: bytes, after: bytes, chance: random.Random) -> bytes:
    """Where a file was changed in place: each 8 bytes old or new. Where it was cut or grew: all old or all new."""
    if len(before) != len(after):
        return chance.choice((before, after))
    return b"".join(chance.choice((before, after))[at : at + 8] for at in range(0, len(before), 8))


def _surviving(tail: bytes, chance: random.Random) -> bytes:
    """What may be left of bytes that were appended and not synced."""
    fate = chance.choice(("first", "first", "zeros", "sectors"))
    end = chance.randint(0, len(tail))
    if fate == "first":
        return tail[:end]
    if fate == "zeros":
        return tail[:end] + bytes(chance.randint(0, len(tail) - end))
    sectors = (tail[at : at + _SECTOR] for at in range(0, len(tail), _SECTOR))
    return b"".join(sector if chance.random() < 0.5 else bytes(len(sector)) for sector in sectors)
