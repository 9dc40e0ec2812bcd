"""Random commits, flushes, moves, backups, losses and crashes; then restores to random points hold what was there.

Rows, columns, schemas and the answers of exact searches are compared with a plain model that keeps every seq's state.
"""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest

from tests.backup.bench import Driver, Place, RepositoryBench
from tests.support.s3_servers import S3Endpoint, other_bucket
from tiervdb.backup import merging
from tiervdb.backup.keys import Key
from tiervdb.storage.open import Store


@pytest.fixture(autouse=True)
def _merge_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few commits make few parts."""
    monkeypatch.setattr(merging, "FEWEST", 2)


def drive(folder: Path, place: Place, seed: int, steps: int, restores: int) -> None:
    bench = RepositoryBench(folder / "machine", place)
    try:
        Driver(bench, random.Random(seed)).run(steps, restores)
        assert bench.restored >= restores
    finally:
        bench.end()


@pytest.mark.parametrize("seed", range(20))
def test_restores_hold_what_was_there(seed: int, tmp_path: Path) -> None:
    drive(tmp_path, Place(), seed, steps=60, restores=10)


@pytest.mark.parametrize("seed", range(2))
def test_with_an_encrypted_repository(seed: int, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"a key of more than sixteen bytes")
    drive(tmp_path, Place(key=Key.file(tmp_path / "key")), 100 + seed, steps=40, restores=6)


COLD = ["subdirectory", "same bucket", "other bucket", "by reference"]


@pytest.mark.s3
@pytest.mark.parametrize("cold", COLD)
def test_on_s3(cold: str, tmp_path: Path, s3_endpoint: S3Endpoint) -> None:
    drive(tmp_path, place_on_s3(cold, s3_endpoint), 7, steps=24, restores=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1_000))
def test_many_restores(seed: int, tmp_path: Path) -> None:
    drive(tmp_path, Place(), 1_000 + seed, steps=60, restores=10)


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.parametrize("seed", range(14))
@pytest.mark.parametrize("cold", COLD)
def test_many_restores_on_s3(cold: str, seed: int, tmp_path: Path, s3_endpoint: S3Endpoint) -> None:
    drive(tmp_path, place_on_s3(cold, s3_endpoint), 5_000 + seed, steps=50, restores=10)


def place_on_s3(cold: str, endpoint: S3Endpoint) -> Place:
    """The repository in a bucket, and the cold segments as ``cold`` says."""
    repository = _below(endpoint.place(), "repository")
    match cold:
        case "subdirectory":
            return Place(repository)
        case "same bucket":
            return Place(repository, _below(endpoint.place(), "cold"))
        case "other bucket":
            return Place(repository, _below(other_bucket(endpoint).place(), "cold"), modes=("copy",))
        case _:
            return Place(repository, _below(other_bucket(endpoint).place(), "cold"), modes=("reference",))


def _below(place: Store, name: str) -> Store:
    return Store(f"{place.url}/{name}-{uuid.uuid4().hex}", place.storage_options, place.limits)
