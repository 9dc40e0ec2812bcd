"""Builds the indexes that several benchmarks search, each once: ``python -m benchmarks.prepare tiervdb hnswlib``.

It runs in processes of its own, so that a benchmark that is bound to one core starts with indexes on disk.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from benchmarks.timing import seconds
from benchmarks.words import words
from benchmarks.workplace import home

SEGMENTS = (1, 8)


def ensure(*names: str) -> None:
    """Makes what is missing, in another process."""
    subprocess.run([sys.executable, "-m", "benchmarks.prepare", *names], check=True)


def forget_ours() -> None:
    """Deletes the databases that earlier versions of tiervdb built; those of the peers stay."""
    for folder in home().glob("tiervdb-*"):
        shutil.rmtree(folder)


def _build(name: str) -> None:
    if name == "tiervdb":
        from benchmarks.sides import tier

        for segments in SEGMENTS:
            tier.build(words(), segments)
    elif name == "hnswlib":
        from benchmarks.sides import hnsw

        hnsw.build(words())
    elif name == "lancedb":
        from benchmarks.sides import lance

        lance.build(words())
    elif name == "chroma":
        from benchmarks.sides import chroma

        chroma.build(words())
    else:
        raise SystemExit(f"prepare: {name!r} is no contestant; give tiervdb, hnswlib, lancedb or chroma")


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        print(f"preparing {wanted}: {seconds(lambda wanted=wanted: _build(wanted)):.0f} s", flush=True)
