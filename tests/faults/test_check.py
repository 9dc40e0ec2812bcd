"""What has right checksums and is wrong all the same: the checker names it."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.faults.every_kind import OPTIONS, build, checked
from tests.faults.every_kind import vectors as random_vectors
from tiervdb.clock import ManualClock
from tiervdb.database.open import open_in
from tiervdb.engine import commit_log as commit_logs
from tiervdb.engine.check import Report
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.engine.open import Setting
from tiervdb.format import commit_log, paths
from tiervdb.format.block_file import BlockReader, BlockWriter
from tiervdb.format.commit_log import CommitLog
from tiervdb.format.manifest import ColumnStats, Manifest, SegmentEntry
from tiervdb.format.wal_header import FILE_HEADER_LENGTH, WalFileHeader
from tiervdb.segment import graph_file
from tiervdb.segment.graph_file import GraphFile
from tiervdb.storage import place
from tiervdb.storage.os_dir import OsDir


@pytest.fixture(autouse=True)
def _one_inode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "inode", lambda _: 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two log files that a snapshot keeps, and headers of older ones."""
    root = tmp_path_factory.mktemp("check") / "db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "inode", lambda _: 1)
        build(root)
        setting = Setting(options=OPTIONS)
        with open_in(local_of(root), setting, ManualClock(), random.Random(6), read_only=False) as db:
            for step in range(2):
                db["words"].upsert(ids=[f"y{n}" for n in range(400)], vectors=random_vectors(400, 30 + step))
                db.flush()
                db.maintain()
            db.snapshot("before the logs")
            for step in range(4):
                db["words"].upsert(ids=[f"x{n}" for n in range(400)], vectors=random_vectors(400, 20 + step))
            db.snapshot("keeps the logs")
            db.flush()
            db.maintain()
        found = checked(root)
        assert found.ok, found.findings
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "db")
    return tmp_path / "db"


def local_of(root: Path) -> OsDir:
    return OsDir(root, sync=False)


def change_manifest(root: Path, change: Callable[[SegmentEntry], SegmentEntry | None]) -> SegmentEntry:
    """Changes the first segment of the current manifest that ``change`` does not pass over; returns the old entry."""
    store = ManifestStore(local_of(root), 0)
    manifest: Manifest = store.current()
    for at, entry in enumerate(manifest.segments):
        changed = change(entry)
        if changed is not None:
            segments = (*manifest.segments[:at], changed, *manifest.segments[at + 1 :])
            store.publish(msgspec.structs.replace(manifest, segments=segments))
            return entry
    raise AssertionError("no segment is as wanted")


def errors(root: Path) -> list[tuple[str, str]]:
    report: Report = checked(root)
    return [(f.file, f.problem) for f in report.findings if f.severity == "error"]


@pytest.mark.parametrize("tier", ["hot", "cold"])
@pytest.mark.parametrize("wrong", [{"nulls": 7}, {"low": -5}, {"high": 10**6}, {"low": None, "high": None}])
def test_statistics_of_a_column(root: Path, tier: str, wrong: dict[str, int]) -> None:
    def change(entry: SegmentEntry) -> SegmentEntry | None:
        if entry.tier != tier or not any(isinstance(s.low, int) for s in entry.stats):
            return None
        stats = tuple(
            msgspec.structs.replace(s, **wrong) if isinstance(s.low, int) and s.column == 1 else s for s in entry.stats
        )
        return msgspec.structs.replace(entry, stats=stats)

    entry = change_manifest(root, change)
    [(where, problem)] = errors(root)
    assert entry.id in where
    assert "statistics of column 1" in problem


def test_statistics_of_a_column_that_is_not_there(root: Path) -> None:
    def change(entry: SegmentEntry) -> SegmentEntry:
        return msgspec.structs.replace(entry, stats=(*entry.stats, ColumnStats(column=3, nulls=0)))

    def cold(entry: SegmentEntry) -> SegmentEntry | None:  # column 3 is stored only
        return change(entry) if entry.tier == "cold" else None

    entry = change_manifest(root, cold)
    local = local_of(root)
    files = {role: local.size(f.name) for role, f in entry.files.items()}
    assert files
    assert any(entry.id in where and "column 3" in problem for where, problem in errors(root))


def relabelled(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> str:
    """Writes another file of graph labels, with right checksums everywhere; returns its name."""
    local, names = local_of(root), list[str]()

    def with_labels(entry: SegmentEntry) -> SegmentEntry | None:
        if "graphrows" not in entry.files:
            return None
        name = entry.files["graphrows"].name
        reader = BlockReader(local.map(name), name)
        old = graph_file.open_graph_file(reader, entry.rows)
        labels = old.labels if old.labels is not None else np.arange(old.size)
        out: list[bytes] = []
        writer = BlockWriter(lambda data: out.append(bytes(data)))
        for part in graph_file.encode(GraphFile(old.size, change(labels.copy()), old.calibration)):
            writer.write(part)
        writer.finish()
        data = b"".join(out)
        local.write_atomic(name, data)
        names.append(name)
        sha256 = hashlib.sha256(data).hexdigest()
        reference = msgspec.structs.replace(entry.files["graphrows"], size=len(data), sha256=sha256)
        return msgspec.structs.replace(entry, files={**entry.files, "graphrows": reference})

    change_manifest(root, with_labels)
    return names[0]


def test_graph_labels(root: Path) -> None:
    def twice(labels: np.ndarray) -> np.ndarray:
        labels[np.flatnonzero(labels >= 0)[0]] = labels[np.flatnonzero(labels >= 0)[1]]
        return labels

    name = relabelled(root, twice)
    assert any(where == name and "graph's rows" in problem for where, problem in errors(root))


def test_graph_labels_that_are_swapped(root: Path) -> None:
    """A permutation, but of other rows: the graph's vectors are not theirs."""
    name = relabelled(root, lambda labels: labels[::-1])
    assert any(where == name.replace("graphrows", "graph") for where, _ in errors(root))


def logs(root: Path) -> list[Path]:
    return sorted((root / "wal").glob("*.wal"))


def kept(root: Path) -> list[Path]:
    return sorted((root / "log").glob("*.log"))


def rewrite_log(path: Path, change: Callable[[CommitLog], CommitLog]) -> None:
    old = commit_log.decode(path.read_bytes(), path.name)
    new = change(old)
    path.write_bytes(commit_log.encode(new.timeline, new.shard, list(new.commits)))


def test_there_are_logs_of_each_sort(root: Path) -> None:
    assert len(logs(root)) > 2
    assert len(kept(root)) > 1


def test_a_log_that_does_not_go_on_from_the_one_before(root: Path) -> None:
    """The headers' own checksum is right."""
    second = logs(root)[1]
    data = second.read_bytes()
    header = WalFileHeader.decode(data, second.name)
    second.write_bytes(replace(header, chain=b"\7" * 32).encode() + data[FILE_HEADER_LENGTH:])
    assert any(where == f"wal/{second.name}" and "running hash" in problem for where, problem in errors(root))


def test_a_log_of_another_timeline(root: Path) -> None:
    for log in logs(root):
        data = log.read_bytes()
        header = WalFileHeader.decode(data, log.name)
        log.write_bytes(replace(header, timeline="9" * 32).encode() + data[FILE_HEADER_LENGTH:])
    assert {where for where, problem in errors(root) if "timeline" in problem} == {f"wal/{p.name}" for p in logs(root)}


def test_kept_headers_that_contradict_the_log(root: Path) -> None:
    first = int(logs(root)[0].name[5:25])
    local = local_of(root)
    commit_logs.keep(local, 0, f"wal/{logs(root)[0].name}", {})
    [path] = [p for p in kept(root) if int(p.name[5:25]) == first]
    assert errors(root) == []
    rewrite_log(path, lambda log: msgspec.structs.replace(log, commits=(_later(log.commits[0]), *log.commits[1:])))
    [(where, problem)] = errors(root)
    assert (where, f"commit {first} differently than wal/" in problem) == (f"log/{path.name}", True)


def _later(commit: commit_log.LoggedCommit) -> commit_log.LoggedCommit:
    return msgspec.structs.replace(commit, note="another one")


def test_kept_headers_of_another_timeline(root: Path) -> None:
    path = kept(root)[0]
    rewrite_log(path, lambda log: msgspec.structs.replace(log, timeline="9" * 32))
    [(where, problem)] = errors(root)
    assert (where, "timeline" in problem) == (f"log/{path.name}", True)


def test_kept_headers_under_another_name(root: Path) -> None:
    path = kept(root)[0]
    renamed = path.with_name(paths.LogName(0, 1, 77).name.removeprefix("log/"))
    path.rename(renamed)
    assert (f"log/{renamed.name}", "it does not hold the commits that its name says") in errors(root)


def test_kept_headers_whose_times_go_back(root: Path) -> None:
    path = kept(root)[1]
    rewrite_log(
        path,
        lambda log: msgspec.structs.replace(
            log, commits=tuple(msgspec.structs.replace(c, time_us=c.time_us - 10**12) for c in log.commits)
        ),
    )
    [(where, problem), *_] = errors(root)
    assert (where, "not later than" in problem) == (f"log/{path.name}", True)


def test_damaged_headers_are_only_a_note(root: Path) -> None:
    path = kept(root)[0]
    path.write_bytes(path.read_bytes()[:-3])
    report = checked(root)
    assert report.ok
    assert [f.file for f in report.findings if f.severity == "info"] == [f"log/{path.name}"]
