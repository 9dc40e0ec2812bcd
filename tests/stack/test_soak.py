"""docker/soak.py: one short deck of it, and what its checks find when something is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soak_truth
from soak_truth import BATCH_ROWS, BLOCKS, COLLECTION, DIM, Lines, Told, difference

import tiervdb
from tests.support.s3_servers import find_minio

SOAK = Path(__file__).parents[2] / "docker" / "soak.py"
SECOND = 1_000_000
SEED = "265812"  # begins with: agent, network cut, writers killed, a database lost meanwhile, server stopped, all back


def soak(*arguments: str) -> list[dict[str, object]]:
    """Its lines."""
    command = [sys.executable, str(SOAK), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, ""), f"{lines[-1:]}\n{done.stderr}"
    return lines


@pytest.mark.s3
def test_a_short_soak(tmp_path: Path) -> None:
    server = "minio" if find_minio() is not None else "seaweedfs"
    begin, *steps, end = soak("--seed", SEED, "--steps", "10", "--server", server, "--directory", str(tmp_path))
    assert begin["seed"] == int(SEED)
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert end["ok"] is True
    assert {"BackupLate", "DrillLate", "JobFailing", "DatabaseMissing", "RepositoryUnreachable", "RpoMissed"} <= set(
        end["alerts"]
    )  # type: ignore[call-overload]


@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.parametrize("server", ["minio", "seaweedfs"])
def test_a_soak_of_minutes(server: str, tmp_path: Path) -> None:
    if server == "minio" and find_minio() is None:
        pytest.skip("no MinIO server: `make minio` builds one; this half of the soak was skipped")
    assert soak("--minutes", "5", "--server", server, "--directory", str(tmp_path))[-1]["ok"] is True


# -- what a writer says


def done(seq: int, second: float, lag: float, archived: int, timeline: str = "here") -> dict[str, object]:
    """The line of a commit that was acknowledged at a second, at which status showed a lag."""
    us = round(second * SECOND)
    return {
        "event": "done",
        "timeline": timeline,
        "seq": seq,
        "wanted": seq,
        "acked_us": us,
        "shown_us": us,
        "lag_us": round(lag * SECOND),
        "archived": archived,
    }


def test_what_is_acknowledged_is_safe_in_sync() -> None:
    told = Told("here", sync=True)
    told.hear(done(2, 10, 0, 2))
    assert (told.acked, told.safe) == (2, 2)


def test_what_is_older_than_the_shown_lag_is_safe_in_async() -> None:
    told = Told("here", sync=False)
    for seq, second in ((2, 10.0), (3, 11.0), (4, 12.0)):
        told.hear(done(seq, second, second - 9, 0))
        assert told.safe == 0  # something is missing since second 9
    told.hear(done(5, 13, 1.5, 0))  # since second 11.5
    assert (told.acked, told.safe) == (5, 3)
    told.hear(done(6, 14, 3, 4))  # what was said once, holds; and so does what status names
    assert told.safe == 4


def test_what_a_writer_may_not_say() -> None:
    told = Told("here", sync=True)
    told.hear(done(7, 10, 0, 7))
    with pytest.raises(AssertionError, match="timeline"):
        told.hear(done(8, 11, 0, 8, timeline="there"))
    with pytest.raises(AssertionError, match="commit 9 should be 8"):
        told.hear(done(9, 11, 0, 9) | {"wanted": 8})
    with pytest.raises(AssertionError, match="7 was acknowledged"):
        told.hear({"event": "opened", "timeline": "here", "seq": 6})


# -- what must be there


@pytest.fixture
def db(tmp_path: Path) -> Iterator[tiervdb.Database]:
    with tiervdb.open(tmp_path / "db") as db:
        db.create_collection(COLLECTION, dim=DIM, metric="l2", id_type="int64", columns={"seq": "int64"})
        yield db


def write(db: tiervdb.Database, timeline: str, until: int) -> None:
    while db.seq < until:
        soak_truth.commit(db, timeline, db.seq + 1)


def test_each_state_is_as_it_was_written(db: tiervdb.Database) -> None:
    lines = Lines()
    for until in (1, 2, 3, BLOCKS, BLOCKS + 1, BLOCKS + 2, 3 * BLOCKS):
        write(db, "here", until)
        assert difference(db, lines, "here", until) is None
    assert len(db[COLLECTION]) < BLOCKS * BATCH_ROWS  # some are deleted


def test_a_restored_timeline_begins_as_the_one_before(db: tiervdb.Database) -> None:
    lines = Lines()
    write(db, "first", 9)
    lines.fork("second", "first", 9)
    write(db, "second", 14)
    lines.fork("third", "second", 12)
    assert difference(db, lines, "second", 14) is None
    assert difference(db, lines, "first", 14) is not None
    assert "rows differ" in str(difference(db, lines, "third", 14))
    assert [lines.writer_of("third", seq) for seq in (9, 10, 12, 13)] == ["first", "second", "second", "third"]


def test_what_is_not_as_it_was_written_is_found(db: tiervdb.Database) -> None:
    lines = Lines()
    write(db, "here", 40)
    assert difference(db, lines, "here", 41) == "it holds commit 40 instead of 41"
    given = soak_truth.written("here", 41)
    vectors = given.vectors.copy()
    vectors[0, 0] = np.nextafter(vectors[0, 0], np.float32(9))
    with db.batch() as batch:
        batch[COLLECTION].upsert(ids=given.ids, vectors=vectors, columns={"seq": np.full(len(vectors), 41)})
        if len(given.gone):
            batch[COLLECTION].delete(ids=given.gone)
    assert "1 rows differ" in str(difference(db, lines, "here", 41))
