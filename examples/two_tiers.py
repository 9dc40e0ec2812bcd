"""Most rows in a cold store: here a folder, as well s3://bucket/prefix. What a search there costs is in hits.stats."""

import tempfile
from pathlib import Path

import pyarrow.parquet as pq

import tiervdb

WORDS = Path(__file__).parent / "data" / "glove-words-20k.parquet"

with tempfile.TemporaryDirectory() as folder:
    home, store = Path(folder, "database"), Path(folder, "bucket")
    with tiervdb.open(home, cold=store) as db:
        words = db.create_collection("words", data=pq.read_table(WORDS), id="word", vector="vector")
        moved = db.demote("words", fraction=0.8)
        print(f"{moved.rows:,} rows are now {moved.bytes / 1e6:.1f} MB of Parquet in {db.status().cold_url}")

        [ocean] = words.get(["ocean"], vectors=True)["vector"].to_pylist()
        for attempt in ("first", "again"):
            hits = words.search(ocean, k=5)
            stats = hits.stats
            print(f"{attempt}: {stats.seconds * 1000:.1f} ms, {stats.gets} GETs, {stats.bytes:,} bytes:", *hits.ids)

        words.delete(ids=["ocean"])  # needs no read of the cold store
        print("ocean" in words)
