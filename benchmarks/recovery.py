"""Backups and restores of the words against plain parallel transfers of the same bytes, and against restic.

``python -m benchmarks.recovery``: SeaweedFS on the same machine, without delay. restic is Debian's package; without it
its lines are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from boto3.s3.transfer import TransferConfig

import tiervdb
from benchmarks import prepare, s3_server
from benchmarks.s3_server import BUCKET, KEY, SECRET, Server
from benchmarks.sides import tier
from benchmarks.tables import Table, met, publish
from benchmarks.timing import seconds
from benchmarks.words import words
from benchmarks.workplace import home, scratch
from tiervdb import Target

ROUNDS = 3
PARALLEL = 8
CHANGED = 0.01
REPLAYED = 100_000
RESTIC = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "RESTIC_PASSWORD": "benchmark",
    "HOME": "/tmp",
}


def measure(server: Server, folder: Path) -> list[Table]:
    prepare.ensure("tiervdb")
    with tiervdb.open(home() / "tiervdb-words-1" / "db", options=tier.BY_HAND) as source:
        source.clone(folder / "db")
    files = [path for name in ("segments", "codebooks", "manifests") for path in (folder / "db" / name).iterdir()]
    return [_transfers(server, folder, files), _increments(server, folder), _replay(folder)]


def _transfers(server: Server, folder: Path, files: list[Path]) -> Table:
    size = sum(path.stat().st_size for path in files)
    title = f"A full backup and restore of 339,479 words with sketch and graph ({size / 1e6:,.0f} MB)"
    table = Table(title, ("what", "MB/s", "plain parallel transfer = 1", "target", ""))
    uploads, backups, downloads, restores, sealed, resticed = [], [], [], [], [], []
    for number in range(ROUNDS):
        uploads.append(seconds(lambda number=number: _upload(server, files, f"plain-{number}")))
        repository = _repository(server, f"repository-{number}")
        backups.append(_backed_up(folder, repository))
        downloads.append(seconds(lambda number=number: _download(server, files, f"plain-{number}", folder / "down")))
        restores.append(seconds(lambda r=repository: r.restore(folder / "restored")))  # type: ignore[misc]
        _sound(folder / "restored")
        shutil.rmtree(folder / "restored")
        sealed.append(_backed_up(folder, _repository(server, f"sealed-{number}", _key(folder))))
        if shutil.which("restic"):
            resticed.append(_restic(server, folder / "db", f"restic-{number}"))
    upload, download = min(uploads), min(downloads)
    table.add("plain upload, boto3, 8 at once", size / upload / 1e6, 1.0)
    ratio = upload / min(backups)
    table.add("full backup", size / min(backups) / 1e6, ratio, ">= 0.7", met(ratio >= 0.7))
    table.add("full backup, encrypted", size / min(sealed) / 1e6, upload / min(sealed))
    if resticed:
        table.add(
            "restic backup",
            size / min(resticed) / 1e6,
            upload / min(resticed),
            "slower",
            met(min(resticed) > min(backups)),
        )
    table.add("plain download, boto3, 8 at once", size / download / 1e6, 1.0)
    ratio = download / min(restores)
    table.add("full restore", size / min(restores) / 1e6, ratio, ">= 0.7", met(ratio >= 0.7))
    return table


def _increments(server: Server, folder: Path) -> Table:
    """1% of the rows changed: what the next backup sends, against the bytes of the files that changed."""
    table = Table("An incremental backup", ("what", "MB", "changed files = 1", "target", ""))
    repository = _repository(server, "increments")
    with tiervdb.open(folder / "db", options=tier.BY_HAND, repository=repository, archive="off") as db:
        db.backup()
        before = _files(folder / "db")
        data = words()
        rows = np.random.default_rng(3).choice(len(data.ids), int(len(data.ids) * CHANGED), replace=False)
        db["words"].upsert(tier.table(data, rows), id="word", vector="vector")
        db.flush()
        db.maintain()
        changed = sum(size for name, size in _files(folder / "db").items() if name not in before)
        backup = db.backup()
        assert isinstance(backup, tiervdb.Backup)
    shutil.rmtree(folder / "db")
    ratio = backup.sent_bytes / changed
    table.add("files that changed", changed / 1e6, 1.0)
    table.add("sent", backup.sent_bytes / 1e6, ratio, "<= 1.5", met(ratio <= 1.5))
    table.add("all that it lists", backup.bytes / 1e6, backup.bytes / changed)
    return table


def _replay(folder: Path) -> Table:
    """From an archive in a folder: a restore whose rows all lie in the log, opened and replayed."""
    table = Table("Replaying the archived log, dim 100", ("what", "vectors/s", "target", ""))
    data = words()
    with tiervdb.open(folder / "log", options=tier.BY_HAND, repository=folder / "log-repository") as db:
        collection = tier.create(db, data)
        db.backup()
        for start in range(0, REPLAYED, 1000):
            part = np.arange(start, start + 1000)
            collection.upsert(tier.table(data, part), id="word", vector="vector")
        db.archive()
    repository = tiervdb.Repository(folder / "log-repository")

    def restored() -> None:
        repository.restore(folder / "replayed", Target.latest())
        with tiervdb.open(folder / "replayed", options=tier.BY_HAND) as db:
            if len(db["words"]) != REPLAYED:
                raise AssertionError("rows are missing")

    rate = REPLAYED / seconds(restored)
    table.add("restored, opened and replayed", rate, ">= 100,000", met(rate >= 100_000))
    return table


def _backed_up(folder: Path, repository: tiervdb.Repository) -> float:
    clone = folder / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    with tiervdb.open(folder / "db", options=tier.BY_HAND) as db:
        db.clone(clone)
    with tiervdb.open(clone, options=tier.BY_HAND, repository=repository, archive="off") as db:
        return seconds(lambda: db.backup("full", limits=tiervdb.Limits(parallel=PARALLEL)))


def _repository(server: Server, name: str, key: tiervdb.Key | None = None) -> tiervdb.Repository:
    return tiervdb.Repository(f"s3://{BUCKET}/{name}", server.options(delayed=False), key)


def _key(folder: Path) -> tiervdb.Key:
    (folder / "key").write_bytes(b"the benchmark's key, not a secret")
    return tiervdb.Key.file(folder / "key")


def _client(server: Server) -> Any:
    return boto3.client(
        "s3", aws_access_key_id=KEY, aws_secret_access_key=SECRET, endpoint_url=server.direct, region_name="us-east-1"
    )


def _upload(server: Server, files: list[Path], prefix: str) -> None:
    client, config = _client(server), TransferConfig()
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda p: client.upload_file(str(p), BUCKET, f"{prefix}/{p.name}", Config=config), files))


def _download(server: Server, files: list[Path], prefix: str, folder: Path) -> None:
    client, config = _client(server), TransferConfig()
    folder.mkdir(exist_ok=True)
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(
            pool.map(
                lambda p: client.download_file(BUCKET, f"{prefix}/{p.name}", str(folder / p.name), Config=config), files
            )
        )


def _restic(server: Server, path: Path, name: str) -> float:
    """A first backup into a new repository of its own."""
    environment = {**os.environ, **RESTIC}
    command = ["restic", "-r", f"s3:{server.direct}/{BUCKET}/{name}", "--quiet"]
    subprocess.run([*command, "init"], env=environment, check=True)
    return seconds(lambda: subprocess.run([*command, "backup", str(path)], env=environment, check=True))


def _files(path: Path) -> dict[str, int]:
    found = [p for name in ("segments", "codebooks", "manifests") for p in (path / name).iterdir()]
    return {p.name: p.stat().st_size for p in found}


def _sound(path: Path) -> None:
    with tiervdb.open(path, options=tier.BY_HAND) as db:
        if len(db["words"]) != len(words().ids):
            raise AssertionError("rows are missing")


def main() -> None:
    folder = scratch("recovery")
    with s3_server.running(folder / "server", 0) as server:
        tables = measure(server, folder)
    publish("recovery", tables)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
