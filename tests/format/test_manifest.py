from __future__ import annotations

import struct
import zlib

import msgspec
import pytest

from tests.format.damage import assert_notices
from tests.format.values import SNAPSHOT, WORDS, an_id, cold_segment, hot_segment, manifest, ref
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format import manifest as manifests
from tiervdb.format.envelope import seal
from tiervdb.format.manifest import CodebookEntry, Flushed, InvariantError, Manifest, ManifestEdit
from tiervdb.format.paths import CodebookName, DeletionName

replace = msgspec.structs.replace
EMPTY = replace(manifest(), segments=(), codebooks=(), snapshots=(), collections=())


def sealed(raw: bytes, claimed: int | None = None, version: int = 1) -> bytes:
    length = len(raw) if claimed is None else claimed
    return seal(b"TVMAN\0", version, struct.pack("<Q", length) + zlib.compress(raw))


@pytest.mark.parametrize("value", [manifest(), EMPTY])
def test_manifests_read_back(value: Manifest) -> None:
    assert manifests.decode(manifests.encode(value), "the file") == value


@pytest.mark.parametrize("value", [manifest(), EMPTY])
def test_every_damage_is_noticed(value: Manifest) -> None:
    assert_notices(manifests.encode(value), lambda d: manifests.decode(d, "the file"), lambda m: m == value)


def test_a_newer_manifest_says_so() -> None:
    with pytest.raises(NewerFormatError, match="the file: it has format version 2"):
        manifests.decode(seal(b"TVMAN\0", 2, b"anything"), "the file")


@pytest.mark.parametrize(
    "data",
    [
        seal(b"TVMAN\0", 0, b"anything"),
        seal(b"TVMAN\0", 1, b""),
        seal(b"TVMAN\0", 1, b"\x05\0\0\0\0\0\0\0not zlib"),
        sealed(b""),
        sealed(b"\xff" * 9),
        sealed(b"x" * 100, claimed=99),
        sealed(b"x" * 100, claimed=101),
        sealed(b"x", claimed=2**63),
        sealed(msgspec.msgpack.encode({"format_version": 1})),
        sealed(msgspec.msgpack.encode({**msgspec.to_builtins(manifest()), "unheard": 1})),
        sealed(msgspec.msgpack.encode(replace(manifest(), format_version=2))),
        sealed(b"\x91" * 100_000),
    ],
)
def test_nonsense_with_a_right_checksum_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        manifests.decode(data, "the file")


def with_segment(**changes: object) -> Manifest:
    return replace(manifest(), segments=(replace(hot_segment(), **changes),))


def with_cold(**changes: object) -> Manifest:
    return replace(manifest(), segments=(replace(cold_segment(), **changes),))


def with_codebook(**changes: object) -> Manifest:
    return replace(manifest(), codebooks=(replace(manifest().codebooks[0], **changes),))


def broken() -> list[tuple[str, Manifest]]:
    good = manifest()
    return [
        ("database id", replace(good, database_id="x")),
        ("negative", replace(good, epoch=-1)),
        ("chain hash", replace(good, chain=b"")),
        ("listed twice", replace(good, segments=(hot_segment(), hot_segment()))),
        ("listed twice", replace(good, codebooks=good.codebooks * 2)),
        ("listed twice", replace(good, snapshots=(SNAPSHOT, SNAPSHOT))),
        ("listed twice", replace(good, collections=(*good.collections, replace(WORDS, name="w")))),
        ("outside 1 to 1", replace(good, next_collection_id=2)),
        ("dimension", replace(good, collections=(replace(WORDS, dim=0), good.collections[1]))),
        ("codebook .* is not listed", replace(good, codebooks=())),
        ("not an id", replace(good, snapshots=(replace(SNAPSHOT, pin="../x"),))),
        ("its seq is -1", replace(good, snapshots=(replace(SNAPSHOT, seq=-1),))),
        ("shard 1", with_segment(shard=1)),
        ("collection 7 does not exist", with_segment(collection=7)),
        ("not all known", with_segment(columns=(5,))),
        ("seqs 1 to 6", with_segment(high_seq=6)),
        ("seqs 4 to 3", with_segment(low_seq=4, high_seq=3)),
        ("0 rows", with_segment(rows=0)),
        ("has the name", with_segment(files={"ids": ref("../../etc/passwd")})),
        ("has the name", with_segment(id=an_id(99))),
        ("SHA-256", with_segment(files={"ids": replace(hot_segment().files["ids"], sha256="x")})),
        ("-1 bytes", with_segment(files={"ids": replace(hot_segment().files["ids"], size=-1)})),
        ("without a deletion vector", with_segment(dead=1)),
        ("but it has", with_cold(dead=0)),
        ("deletion vector has the name", with_cold(deletions=ref(DeletionName(an_id(5), 3).name))),
        ("has cold objects", with_cold(tier="hot")),
        ("no Parquet", with_cold(objects={})),
        ("has the key", with_cold(objects={**cold_segment().objects, "sketch": ref("../x")})),
        ("add up", with_cold(row_groups=())),
        ("32 hexadecimal", with_segment(id="x")),
        ("has the name", with_codebook(file=ref("x"))),
        ("has the key", with_codebook(object=ref("x"))),
        ("does not exist", replace(with_codebook(collection=9), segments=())),
    ]


@pytest.mark.parametrize(("problem", "value"), broken())
def test_a_manifest_that_breaks_a_rule_is_refused(problem: str, value: Manifest) -> None:
    with pytest.raises(CorruptionError, match=f"the file.*{problem}"):
        manifests.decode(manifests.encode(value), "the file")


def test_an_edit_changes_what_it_says_and_nothing_else() -> None:
    before = manifest()
    deaths = replace(hot_segment(), dead=2, deletions=ref(DeletionName(an_id(10), 4).name))
    book = CodebookEntry(
        id=an_id(21), collection=1, file=ref(CodebookName(an_id(21)).name), trained_rows=5, codec="rabitq4"
    )
    edit = ManifestEdit(
        remove_segments=frozenset({an_id(11)}),
        replace_segments=(deaths,),
        add_segments=(hot_segment(12, codebook=an_id(21)),),
        remove_codebooks=frozenset({an_id(20)}),
        add_codebooks=(book,),
        epoch=2,
    )
    after = manifests.apply(before, edit)
    assert after == replace(
        before, version=4, epoch=2, segments=(deaths, hot_segment(12, codebook=an_id(21))), codebooks=(book,)
    )
    assert before == manifest()
    assert (after.segment(an_id(10)), after.segment(an_id(11))) == (deaths, None)
    assert (after.codebook(an_id(21)), after.codebook(an_id(20))) == (book, None)
    assert (after.collection(1), after.collection(9)) == (WORDS, None)
    assert deaths.live == 98


def flushed(**changes: object) -> ManifestEdit:
    m = manifest()
    base = Flushed(
        seq=9,
        time_us=99,
        chain=bytes(32),
        collections=m.collections,
        snapshots=(),
        next_collection_id=4,
    )
    return ManifestEdit(flushed=replace(base, **changes))


def test_a_flush_moves_the_state() -> None:
    after = manifests.apply(manifest(), flushed())
    assert after == replace(
        manifest(), version=4, flushed_seq=9, flushed_time_us=99, chain=bytes(32), snapshots=(), next_collection_id=4
    )


@pytest.mark.parametrize(
    ("problem", "edit"),
    [
        ("no segments", ManifestEdit(remove_segments=frozenset({an_id(77)}))),
        ("no segments", ManifestEdit(replace_segments=(hot_segment(77),))),
        ("no codebooks", ManifestEdit(remove_codebooks=frozenset({an_id(77)}))),
        ("listed already", ManifestEdit(add_segments=(hot_segment(),))),
        ("listed already", ManifestEdit(add_codebooks=manifest().codebooks)),
        ("listed already", ManifestEdit(add_segments=(hot_segment(),), remove_segments=frozenset({an_id(10)}))),
        (
            "removed and replaced",
            ManifestEdit(replace_segments=(hot_segment(),), remove_segments=frozenset({an_id(10)})),
        ),
        ("other rows", ManifestEdit(replace_segments=(hot_segment(rows=5),))),
        ("codebook .* is not listed", ManifestEdit(remove_codebooks=frozenset({an_id(20)}))),
        ("collection 1 does not exist", flushed(collections=(manifest().collections[1],))),
        ("older", flushed(seq=4)),
        ("older", flushed(seq=5, time_us=54)),
        ("older", ManifestEdit(epoch=0)),
        ("reused", flushed(next_collection_id=2)),
    ],
)
def test_an_edit_that_breaks_a_rule_is_refused(problem: str, edit: ManifestEdit) -> None:
    with pytest.raises(InvariantError, match=f"version 4 of the manifest of shard 0: .*{problem}"):
        manifests.apply(manifest(), edit)
