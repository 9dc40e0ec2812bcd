"""One atomic commit over two collections, and what the log says of it."""

import tempfile

import numpy as np

import tiervdb

rng = np.random.default_rng(0)

with tempfile.TemporaryDirectory() as folder, tiervdb.open(folder) as db:
    documents = db.create_collection("documents", dim=4, columns={"title": "string"})
    chunks = db.create_collection("chunks", dim=4, id_type="int64", columns={"document": "string", "text": "string"})

    with db.batch(note="a document with its chunks") as batch:
        batch["documents"].upsert(ids=["moby"], vectors=rng.random((1, 4)), columns={"title": ["Moby-Dick"]})
        batch["chunks"].upsert(
            ids=[1, 2],
            vectors=rng.random((2, 4)),
            columns=[{"document": "moby", "text": "Call me Ishmael."}, {"document": "moby", "text": "Some years ago"}],
        )
    print(f"commit {db.seq}: {len(documents)} document, {len(chunks)} chunks, both or neither")

    try:
        with db.batch() as batch:
            batch["documents"].delete(ids=["moby"])
            raise RuntimeError("something went wrong")
    except RuntimeError:
        print(f"still {len(documents)} document: nothing of the batch was written")

    for row in db.log(since=3).to_pylist():
        print(row["seq"], row["collection"], row["operation"], row["upserted"], row["note"])
