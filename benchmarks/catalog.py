"""The catalog of a repository with 5,000 backups of 2,000 segments: refresh, queries, planning an expiry, the picture.

``python -m benchmarks.catalog``: the documents are simulated (an hourly backup that replaces ten segments, and a part
of the log an hour); what is measured is what ``Repository`` does with them, in a directory on the local disk.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import tiervdb
from benchmarks.tables import Table, met, publish
from benchmarks.workplace import scratch
from tiervdb.backup.catalog.catalog import Catalog
from tiervdb.backup.catalog.known import Known
from tiervdb.backup.opened import OpenRepository
from tiervdb.cli import graph
from tiervdb.format import documents
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_paths as paths
from tiervdb.format.documents import Owner, TimelineRecord
from tiervdb.format.repository_documents import (
    BackupCollection,
    BackupDocument,
    BackupFile,
    PartHeader,
    RepositoryEpoch,
    ShardBackup,
    StoredObject,
    TimelineDocument,
)
from tiervdb.types import to_datetime

BACKUPS, SEGMENTS, REPLACED = 5_000, 2_000, 10
HOUR_US = 3600 * 1_000_000
NOW_US = time.time_ns() // 1000
ROUNDS = 5
LINEAGE = """
    select o.name, o.kind, o.bytes, o.object, o.uploaded_by, b.created as uploaded, b."user"
    from backup_objects o left join backups b on b.id = o.uploaded_by
    where o.backup = (select id from backups order by created desc limit 1 offset 2500)
"""
ANCESTRY = """
    with recursive older as (
        select parent, child from lineage
        where kind = 'reuses' and child = (select id from backups order by created desc limit 1)
        union all
        select l.parent, l.child from lineage l join older o on l.child = o.parent where l.kind = 'reuses'
    )
    select count(*) from older
"""


class Simulated:
    """Documents as a database with hourly backups would leave them."""

    def __init__(self, opened: OpenRepository) -> None:
        self.vault = opened.vault
        self.rng = random.Random(7)
        self.owner = Owner(pid=1, host="simulated", user="operator", version="0")
        self.line = TimelineRecord(id=self._id(), created_us=NOW_US - BACKUPS * HOUR_US)
        self.database = self._id()
        self.segments: list[list[BackupFile]] = []
        self.last: str | None = None
        self.seq = 0

    def lineage(self) -> list[tuple[str, documents.DocumentBase]]:
        created = self.line.created_us
        timeline = TimelineDocument(timeline=self.line, database_id=self.database, created_us=created)
        epoch = RepositoryEpoch(
            epoch=1,
            database_id=self.database,
            timeline=self.line.id,
            writer=self._id(),
            created_us=created,
            owner=self.owner,
        )
        return [(paths.TimelineKey(self.line.id).key, timeline), (paths.RepositoryEpochKey(1).key, epoch)]

    def backup(self, number: int) -> tuple[str, BackupDocument]:
        """The next one, an hour after the one before."""
        id, time_us = self._id(), self._time(number)
        self.segments = [*self.segments[REPLACED:], *(self._segment(id) for _ in range(self._missing()))]
        before, self.seq = self.seq, self.seq + 100
        manifest = self._file(f"manifests/0000-{number + 1:016}.manifest", "manifest", id, 100_000)
        shard = ShardBackup(
            shard=0,
            manifest=manifest,
            flushed_seq=before,
            first_time_us=time_us - HOUR_US // 2,
            seq=self.seq,
            time_us=time_us,
            chain="00" * 32,
            files=tuple(file for segment in self.segments for file in segment),
        )
        document = BackupDocument(
            id=id,
            kind="incremental" if self.last else "full",
            database_id=self.database,
            timeline=self.line,
            epoch=1,
            created_us=time_us,
            finished_us=time_us + 60_000_000,
            cold="copy",
            shards=(shard,),
            sent_bytes=REPLACED * 4_000_000,
            sent_objects=2 * REPLACED + 1,
            reused=(self.last,) if self.last else (),
            owner=self.owner,
            collections=(BackupCollection(id=1, name="words", dim=768, metric="cosine", rows=10_000_000),),
        )
        self.last = id
        return paths.BackupKey(id).key, document

    def part(self, number: int) -> tuple[str, PartHeader]:
        """The log of the hour before a backup."""
        first, last = number * 100 + 1, (number + 1) * 100
        header = PartHeader(
            kind="records",
            database_id=self.database,
            timeline=self.line.id,
            shard=0,
            n=number + 1,
            epoch=1,
            writer="0" * 32,
            first_seq=first,
            last_seq=last,
            first_time_us=self._time(number) - HOUR_US + 1,
            last_time_us=self._time(number),
            before="00" * 32,
            after="00" * 32,
            length=1_000_000,
            created_us=self._time(number),
        )
        return paths.PartKey(self.line.id, 0, number + 1).key, header

    def _missing(self) -> int:
        return SEGMENTS - max(len(self.segments) - REPLACED, 0) if self.segments else SEGMENTS

    def _segment(self, backup: str) -> list[BackupFile]:
        id = self._id()
        cold = self._file(f"{self.database}/0000000001/{id}.parquet", "parquet", backup, 4_000_000, id)
        return [cold, self._file(f"segments/{id}.ids", "ids", backup, 80_000, id)]

    def _file(self, name: str, kind: str, backup: str, size: int, segment: str | None = None) -> BackupFile:
        key = paths.DataKey(backup, self._id()).key
        return BackupFile(
            name=name,
            role="cold" if kind == "parquet" else "local",
            size=size,
            sha256=hashlib.sha256(key.encode()).hexdigest(),
            kind=kind,
            segment=segment,
            collection=None if segment is None else 1,
            object=StoredObject(key=key, size=size, stored_size=size),
        )

    def _time(self, number: int) -> int:
        return self.line.created_us + (number + 1) * HOUR_US

    def _id(self) -> str:
        return local_paths.random_id(self.rng)


def measure(folder: Path) -> Table:
    repository = tiervdb.Repository.create(folder / "repository")
    opened = repository.open()
    simulated = Simulated(opened)
    _fill(opened, simulated)
    title = f"The catalog of {BACKUPS:,} backups of {SEGMENTS:,} segments ({2 * SEGMENTS + 1:,} files each)"
    table = Table(title, ("what", "seconds", "target", ""))

    def line(what: str, seconds: float, target: float | None) -> None:
        table.add(what, round(seconds, 3), target or "", "" if target is None else met(seconds <= target))

    line(
        "first query of a new process", _seconds(lambda: _fresh(folder).sql("from restorable_windows").fetchall()), None
    )
    line("publishing", _seconds(lambda: repository.catalog.publish(with_log=False)), None)
    key, document = simulated.backup(BACKUPS)
    opened.vault.create(key, document)
    line("refresh after one more backup, and a query", _seconds(lambda: _newest(repository)), 1.0)
    line("the same in a new process", _seconds(lambda: _newest(_fresh(folder))), None)
    tables = repository.catalog.tables()
    for what, query in (("objects of a backup, and who sent them", LINEAGE), ("all ancestors of a backup", ANCESTRY)):
        line(what, _median(lambda query=query: tables.sql(query).fetchall()), 0.2)  # type: ignore[misc]
    line("planning an expiry", _seconds(lambda: repository.expire(tiervdb.Policy())), 2.0)
    started = time.perf_counter()
    page = graph.page(graph.read(repository.catalog.tables(), repository.url, to_datetime(NOW_US)))
    line("drawing the HTML page", time.perf_counter() - started, None)
    size = len(page.encode()) / 1e6
    table.add("size of the HTML page, MB", round(size, 2), 5, met(size <= 5))
    return table


def _fill(opened: OpenRepository, simulated: Simulated) -> None:
    """Every document is known, and published as such; in its place lies an empty file, for it is not read again."""
    known = Known()
    for key, document in simulated.lineage():
        opened.vault.create(key, document)
        known.add(key, document)  # type: ignore[arg-type]
    for number in range(BACKUPS):
        for key, document in (simulated.backup(number), simulated.part(number)):
            known.add(key, document)
            opened.vault.store.put(key, b"known already")
    catalog = Catalog(opened.vault, known)
    catalog.publish(with_log=False)


def _fresh(folder: Path) -> tiervdb.Repository:
    return tiervdb.Repository(folder / "repository")


def _newest(repository: tiervdb.Repository) -> int:
    (found,) = repository.sql("select count(*) from backups").fetchall()
    assert found[0] == BACKUPS + 1
    return int(found[0])


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _median(act: Callable[[], object]) -> float:
    return statistics.median(_seconds(act) for _ in range(ROUNDS))


if __name__ == "__main__":
    publish("catalog", [measure(scratch("catalog"))])
