"""Each kind of file, damaged: an error that names it, or the same answers as before. Never other data."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.every_kind import answers, build, checked, opened
from tiervdb.errors import CorruptionError, NewerFormatError, SnapshotNotFoundError, TiervdbError
from tiervdb.storage import place

Damage = Callable[[bytes], bytes]

DAMAGES: dict[str, Damage] = {
    "first byte": lambda data: _flipped(data, 0),
    "early bit": lambda data: _flipped(data, len(data) // 5),
    "middle bit": lambda data: _flipped(data, len(data) // 2),
    "late bit": lambda data: _flipped(data, len(data) * 4 // 5),
    "last byte": lambda data: _flipped(data, len(data) - 1),
    "half": lambda data: data[: len(data) // 2],
    "all but a byte": lambda data: data[:-1],
    "emptied": lambda _: b"",
    "longer": lambda data: data + b"\0",
    "zeros": lambda data: bytes(len(data)),
}
KINDS = {  # a pattern that names the files of a kind; whether the checker must always notice
    "vectors": (r"segments/.*\.vectors", True),
    "ids": (r"segments/.*\.ids", True),
    "columns": (r"segments/.*\.columns", True),
    "sketch": (r"segments/.*\.sketch", True),
    "rowsums": (r"segments/.*\.rowsums", True),
    "graph": (r"segments/.*\.graph", True),
    "graphrows": (r"segments/.*\.graphrows", True),
    "deletion vector": (r"segments/.*\.dead", True),
    "codebook": (r"codebooks/.*", True),
    "manifest": (r"manifests/.*", True),
    "log": (r"wal/.*\.wal", False),  # what was not synced may be torn
    "published words": (r"wal/.*\.published", False),
    "identity": (r"tiervdb\.json", True),
    "pin": (r"pins/.*", True),
    "parquet": (r"cold/.*\.parquet", True),
    "sketch object": (r"cold/.*\.sketch", True),
    "codebook object": (r"cold/.*\.codebook", True),
    "sketch copy": (r"sketches/.*", False),
    "epoch": (r"cold/.*/epochs/.*", False),
    "cache": (r"cache/.*", False),
    "kept log": (r"log/.*", False),
    "writer": (r"writer\..*", False),
}


HELD_TWICE = {"codebook", "sketch object", "codebook object"}  # locally and in the store: one of both is enough


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :] if data else data


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faults") / "db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "inode", lambda _: 1)
        build(root)
        assert checked(root).ok
    return root


@pytest.fixture(scope="module")
def truth(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    copy = tmp_path_factory.mktemp("truth") / "db"
    shutil.copytree(whole, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "inode", lambda _: 1)
        return answers(copy)


@pytest.fixture(autouse=True)
def _one_inode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "inode", lambda _: 1)


def files_of(root: Path, pattern: str) -> list[Path]:
    """Of each kind the first and the last."""
    every = sorted(p for p in root.rglob("*") if p.is_file() and re.fullmatch(pattern, p.relative_to(root).as_posix()))
    return [every[0], *([every[-1]] if len(every) > 1 else [])] if every else []


def copies(whole: Path, folder: Path, pattern: str) -> Iterator[tuple[Path, Path]]:
    """For each file of a kind a fresh copy of the database, and the file in it."""
    for number, file in enumerate(files_of(whole, pattern)):
        root = folder / str(number)
        shutil.copytree(whole, root)
        yield root, root / file.relative_to(whole)


def assert_told_or_same(root: Path, damaged: Path, truth: dict[str, Any]) -> None:
    told = ""
    try:
        found = answers(root)
    except (CorruptionError, NewerFormatError) as error:
        told = str(error)
    if told:
        assert damaged.name in told, f"{damaged.name} was damaged, and this names something else: {told}"
        return
    if damaged.parent.name == "log":  # a convenience that was never synced: it may be forgotten, but not be wrong
        assert found["log"] == truth["log"][-len(found["log"]) :]
        found["log"] = truth["log"]
    differing = [name for name in truth if found[name] != truth[name]]
    assert not differing, f"{damaged.name} was damaged, nothing was said, and other answers came: {differing}"


def test_there_is_a_file_of_every_kind(whole: Path) -> None:
    assert [kind for kind, (pattern, _) in KINDS.items() if not files_of(whole, pattern)] == []


SHORT = {"first byte", "middle bit", "half", "emptied"}  # of the short form


@pytest.mark.parametrize(
    "damage", [pytest.param(name, marks=() if name in SHORT else pytest.mark.slow) for name in DAMAGES]
)
@pytest.mark.parametrize("kind", KINDS)
def test_damage(whole: Path, truth: dict[str, Any], tmp_path: Path, kind: str, damage: str) -> None:
    pattern, is_referenced = KINDS[kind]
    for root, file in copies(whole, tmp_path, pattern):
        before = file.read_bytes()
        file.write_bytes(DAMAGES[damage](before))
        report = checked(root)
        if is_referenced and file.read_bytes().strip() != before.strip():  # JSON may lose its last newline
            assert not report.ok, f"the checker did not notice {file.name}"
        assert_told_or_same(root, file, truth)


@pytest.mark.parametrize("kind", [kind for kind, (_, always) in KINDS.items() if always and kind != "pin"])
def test_a_missing_file(whole: Path, truth: dict[str, Any], tmp_path: Path, kind: str) -> None:
    """It is named, or, where only a snapshot needs it, the state that is not held any more. Without the newest manifest
    the log may still lead from an older one to the same rows."""
    for root, file in copies(whole, tmp_path, KINDS[kind][0]):
        file.unlink()
        is_noticed = not checked(root).ok
        try:
            found = answers(root)
        except TiervdbError as error:
            told = str(error)
            assert is_noticed
        else:
            told = file.name if found == truth else "nothing"
            assert kind == "manifest" or kind in HELD_TWICE
        assert file.name in told or "is not held here" in told


def test_a_missing_log(whole: Path, tmp_path: Path) -> None:
    for root, file in copies(whole, tmp_path, KINDS["log"][0]):
        file.unlink()
        assert not checked(root).ok
        with pytest.raises(CorruptionError, match="log"):
            answers(root)


def test_a_missing_pin_loses_the_snapshot_and_nothing_else(whole: Path, truth: dict[str, Any], tmp_path: Path) -> None:
    for root, file in copies(whole, tmp_path, KINDS["pin"][0]):
        file.unlink()
        with opened(root) as db:
            assert db.snapshots() == []
            assert db.log().to_pylist()[-1]["operation"] == "drop snapshot"
            with pytest.raises(SnapshotNotFoundError, match="kept"):
                db.at("kept")
            rows = db["words"].scan(vectors=True).read_all().to_pylist()
        assert sorted(rows, key=lambda row: row["id"]) == truth["rows"]
