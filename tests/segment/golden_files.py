"""The golden files of segments: bytes written once and read forever.

``python -m tests.segment.golden_files`` writes those that do not exist yet; it never changes one that does. A new
version of a format adds files under a new name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from tests.segment.cold_values import COLUMNS, block_file, schema, source
from tiervdb.format.block_file import BlockWriter
from tiervdb.segment.cold_writer import write_parquet
from tiervdb.segment.columns_file import write_columns
from tiervdb.segment.id_index import build

FOLDER = Path(__file__).parent / "golden"
ROWS = 40
STRING_IDS = pa.array(["", "a", "ü", "wörd", "x" * 300])
INTEGER_IDS = pa.array([0, -1, 2**63 - 1, -(2**63), 42])


def columns_file() -> bytes:
    out: list[bytes] = []
    writer = BlockWriter(lambda data: out.append(bytes(data)))
    write_columns(writer, source(ROWS), COLUMNS)
    writer.finish()
    return b"".join(out)


def parquet() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "golden.parquet"
        write_parquet(path, source(ROWS), schema())
        return path.read_bytes()


GOLDEN: dict[str, Callable[[], bytes]] = {
    "id_index_string_v1.ids": lambda: block_file(*build(STRING_IDS)),
    "id_index_int64_v1.ids": lambda: block_file(*build(INTEGER_IDS)),
    "columns_v1.columns": columns_file,
    "cold_v1.parquet": parquet,
}


if __name__ == "__main__":
    for name, make in GOLDEN.items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_bytes(make())
