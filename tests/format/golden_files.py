"""The golden files: bytes of every format, written once and read forever.

``python -m tests.format.golden_files`` writes those that do not exist yet; it never changes one that does. A new format
version adds files under a new name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.format.repository_values import REPOSITORY_DOCUMENTS
from tests.format.values import DOCUMENTS, an_id, commits, every_operation, manifest, record, wal_file
from tiervdb.backup.ciphers import FrameCipher
from tiervdb.format import commit_log, deletion_vector, documents, frames, wal_part
from tiervdb.format import manifest as manifests
from tiervdb.format.block_file import BlockWriter
from tiervdb.format.frames import Checksum
from tiervdb.format.operations import DropSnapshot

FOLDER = Path(__file__).parent / "golden"
BLOCK_DATA = bytes(range(256)) * 257  # a whole block and a part
FEW_DEAD = np.arange(500) % 250 == 3
MANY_DEAD = np.arange(21) % 2 == 0


def block_file() -> bytes:
    out: list[bytes] = []
    writer = BlockWriter(lambda data: out.append(bytes(data)))
    writer.write(BLOCK_DATA)
    writer.finish()
    return b"".join(out)


def part() -> bytes:
    return wal_part.join(documents.encode(REPOSITORY_DOCUMENTS["part_header"]), b"records")


GOLDEN: dict[str, Callable[[], bytes]] = {
    "block_file_v1.bin": block_file,
    "wal_v1.wal": lambda: wal_file([record(5, ops=every_operation())]),
    "wal_without_rows_v1.wal": lambda: wal_file([record(5, ops=[DropSnapshot("s")]), record(6, ops=[])]),
    "manifest_v1.manifest": lambda: manifests.encode(manifest()),
    "commit_log_v1.log": lambda: commit_log.encode(an_id(2), 0, commits()),
    "deletion_rows_v1.dead": lambda: deletion_vector.encode(FEW_DEAD),
    "deletion_bits_v1.dead": lambda: deletion_vector.encode(MANY_DEAD),
    "identity_v1.json": lambda: documents.encode(DOCUMENTS["identity"]),
    "pin_v1.json": lambda: documents.encode(DOCUMENTS["pin"]),
    "intent_v1.json": lambda: documents.encode(DOCUMENTS["intent"]),
    "epoch_v1.json": lambda: documents.encode(DOCUMENTS["epoch"]),
    "store_v1.json": lambda: documents.encode(DOCUMENTS["store"]),
    "part_v1.part": part,
    "frames_checksum_v1.frames": lambda: frames.encode(b"plain", "none", Checksum()),
    "frames_sealed_v1.frames": lambda: frames.encode(b"plain", "none", FrameCipher(b"s" * 32, "data/a/b")),
    "frames_zstd_v1.frames": lambda: frames.encode(b"plain" * 100, "zstd", Checksum()),
    **{f"{name}_v1.json": partial(documents.encode, document) for name, document in REPOSITORY_DOCUMENTS.items()},
}
# Written by us to the last byte; the others hold what zlib and Arrow make, which may differ in a later version of them.
EXACT = [
    name
    for name in GOLDEN
    if name not in {"wal_v1.wal", "manifest_v1.manifest", "commit_log_v1.log", "frames_zstd_v1.frames"}
]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, build in GOLDEN.items():
        path = FOLDER / name
        if not path.exists():
            path.write_bytes(build())
            print("wrote", path)


if __name__ == "__main__":
    main()
