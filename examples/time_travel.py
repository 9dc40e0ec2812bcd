"""A snapshot, a mistake, and the way back."""

import tempfile
from pathlib import Path

import numpy as np

import tiervdb

rng = np.random.default_rng(0)

with tempfile.TemporaryDirectory() as folder, tiervdb.open(Path(folder, "notes")) as db:
    notes = db.create_collection("notes", dim=8, id_type="int64", columns={"year": "int64"})
    years = np.arange(2000, 2020).repeat(5)
    notes.upsert(ids=np.arange(100), vectors=rng.random((100, 8), dtype=np.float32), columns={"year": years})

    db.snapshot("before-clean-up")  # takes no time and copies nothing
    notes.delete(where="year > 2009")  # meant: year < 2009
    print(len(notes), "notes are left")

    with db.at("before-clean-up") as before:
        lost = before["notes"].scan(where="year > 2009", vectors=True).read_all()
    notes.upsert(lost)
    print(len(notes), "notes again")

    copy = db.clone(Path(folder, "copy"), at="before-clean-up")
    with tiervdb.open(copy) as other:
        print(len(other["notes"]), "notes in a database of its own, sharing the files")
