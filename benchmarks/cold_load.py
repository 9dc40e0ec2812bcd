"""Loads the words straight to the cold tier on a local SeaweedFS, and demotes them: vectors a second.

``python -m benchmarks.cold_load [--profile]``, one run of each. The processor's seconds are those of this process, all
threads: the server's are not in them.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

import tiervdb
from benchmarks import s3_server
from benchmarks.s3_server import BUCKET, Server
from benchmarks.words import DIM, Words, words


def main() -> None:
    data = words()
    with TemporaryDirectory(prefix="tiervdb-cold-load-") as folder, s3_server.running(Path(folder) / "s3", 0) as server:
        loaded = Path(folder) / "words.arrow"
        _write(loaded, data)
        _measured(
            "ingest(tier='cold')", data, _database(folder, "loaded", server), lambda db: _ingest(db, loaded, "cold")
        )
        demoted = _database(folder, "demoted", server)
        quiet = tiervdb.Options(background=False)  # else background merges have coded the rows before
        with demoted(quiet) as db:
            _ingest(db, loaded, "hot")
            db.flush()
        _measured("demote()", data, demoted, lambda db: db.demote("words"))


def _database(folder: str, name: str, server: Server) -> Callable[..., tiervdb.Database]:
    place = tiervdb.Store(f"s3://{BUCKET}/{name}", server.options(delayed=False))
    return lambda options=None: tiervdb.open(Path(folder) / name, cold=place, options=options)


def _ingest(db: tiervdb.Database, path: Path, tier: str) -> None:
    collection = db.create_collection("words", dim=DIM, id_type="string", columns={"rank": "int64"}, exist_ok=True)
    collection.ingest(path, id="word", vector="vector", tier=tier)


def _write(path: Path, data: Words) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(data.vectors.reshape(-1)), DIM)
    table = pa.table({"word": data.ids, "vector": vectors, "rank": data.rank})
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table, max_chunksize=65_536)


def _measured(
    what: str, data: Words, database: Callable[[], tiervdb.Database], action: Callable[[tiervdb.Database], object]
) -> None:
    with database() as db:
        profile = cProfile.Profile()
        if "--profile" in sys.argv:
            profile.enable()
        wall, busy = time.perf_counter(), time.process_time()
        action(db)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        profile.disable()
        stats = db.stats().collections[0]
        rows = len(data.ids)
        print(f"{what}: {rows:,} rows, {rows / wall:,.0f} a second, {rows / busy:,.0f} a second of processor time")
        print(f"  {wall:.2f} s, {busy:.2f} s of processor; {stats.cold_rows:,} cold in {stats.cold_segments} segments")
        if "--profile" in sys.argv:
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
