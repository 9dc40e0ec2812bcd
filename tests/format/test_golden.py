from __future__ import annotations

import msgspec
import pytest

from tests.format.golden_files import BLOCK_DATA, EXACT, FEW_DEAD, FOLDER, GOLDEN, MANY_DEAD
from tests.format.repository_values import REPOSITORY_DECODERS, REPOSITORY_DOCUMENTS
from tests.format.test_wal_record import assert_same_operations
from tests.format.values import DECODERS, DOCUMENTS, an_id, commits, every_operation, manifest
from tiervdb.backup.ciphers import FrameCipher
from tiervdb.errors import CorruptionError
from tiervdb.format import commit_log, deletion_vector, wal_part
from tiervdb.format import manifest as manifests
from tiervdb.format.block_file import BlockReader
from tiervdb.format.envelope import inflate, unseal
from tiervdb.format.frames import Checksum, FrameReader
from tiervdb.format.operations import DropSnapshot
from tiervdb.format.wal_record import chain_next, decode_record, scan


def golden(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def test_every_golden_file_is_known() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(GOLDEN)


@pytest.mark.parametrize("name", EXACT)
def test_the_same_bytes_are_written(name: str) -> None:
    assert GOLDEN[name]() == golden(name)


def test_block_file() -> None:
    file = BlockReader(memoryview(golden("block_file_v1.bin")), "golden")
    assert bytes(file.view(0, file.length)) == BLOCK_DATA


def test_wal() -> None:
    buffer = memoryview(golden("wal_v1.wal"))
    found = scan(buffer, "golden", last_file=False, published_seq=0, next_seq=5)
    assert len(found.records) == 1
    assert_same_operations(decode_record(found.records[0].record(buffer)), every_operation())


def test_wal_without_rows() -> None:
    buffer = memoryview(golden("wal_without_rows_v1.wal"))
    found = scan(buffer, "golden", last_file=True, published_seq=6, next_seq=5)
    assert [decode_record(s.record(buffer)).ops for s in found.records] == [(DropSnapshot("s"),), ()]
    assert found.header is not None
    chain = found.header.chain
    for span in found.records:
        chain = chain_next(chain, span.record(buffer))
    assert chain.hex() == "8edba39196335bbc4d73183c21e6864e57adaccf5077103714c080d0b1f7855d"


def test_manifest() -> None:
    data = golden("manifest_v1.manifest")
    assert manifests.decode(data, "golden") == manifest()
    assert inflate(unseal(data, b"TVMAN\0", 1, "golden"), "golden") == msgspec.msgpack.encode(manifest())


def test_commit_log() -> None:
    found = commit_log.decode(golden("commit_log_v1.log"), "golden")
    assert found == commit_log.CommitLog(timeline=an_id(2), shard=0, commits=tuple(commits()))


def test_deletion_vectors() -> None:
    for name, dead in (("rows", FEW_DEAD), ("bits", MANY_DEAD)):
        found = deletion_vector.decode(golden(f"deletion_{name}_v1.dead"), "golden", len(dead))
        assert (found == dead).all()


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents(kind: str) -> None:
    assert DECODERS[kind](golden(f"{kind}_v1.json"), "golden") == DOCUMENTS[kind]


@pytest.mark.parametrize("kind", REPOSITORY_DOCUMENTS)
def test_repository_documents(kind: str) -> None:
    found = REPOSITORY_DECODERS[kind](golden(f"{kind}_v1.json"), "golden")
    assert found == REPOSITORY_DOCUMENTS[kind]


def test_part() -> None:
    head, body = wal_part.split(golden("part_v1.part"), "golden")
    assert REPOSITORY_DECODERS["part_header"](head, "golden") == REPOSITORY_DOCUMENTS["part_header"]
    assert bytes(body) == b"records"
    for end in (0, 5, 11, 20):
        with pytest.raises(CorruptionError, match="golden"):
            wal_part.split(golden("part_v1.part")[:end], "golden")


def test_frames() -> None:
    for name, plain, codec, closing in (
        ("checksum", b"plain", "none", Checksum()),
        ("sealed", b"plain", "none", FrameCipher(b"s" * 32, "data/a/b")),
        ("zstd", b"plain" * 100, "zstd", Checksum()),
    ):
        data = golden(f"frames_{name}_v1.frames")
        found = FrameReader(len(plain), len(data), codec, closing, "golden")  # type: ignore[arg-type]
        assert b"".join(found.decode_all(data)) == plain
