"""Cold rows are Parquet objects that anything reads: here DuckDB, without tiervdb."""

import tempfile
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

import tiervdb

WORDS = Path(__file__).parent / "data" / "glove-words-20k.parquet"

with tempfile.TemporaryDirectory() as folder:
    home, store = Path(folder, "database"), Path(folder, "bucket")
    with tiervdb.open(home, cold=store) as db:
        db.create_collection("words", data=pq.read_table(WORDS), id="word", vector="vector")
        db.demote("words")

    files = f"{store}/**/*.parquet"
    query = "select id, rank, len(vector) as dim, vector[1] as first from read_parquet(?) order by rank limit 3"
    print(duckdb.execute(query, [files]).fetchall())
