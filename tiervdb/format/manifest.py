"""Manifests: their bytes, and edits applied to them by a pure function. See docs/formats/manifest.md."""

from __future__ import annotations

import msgspec

from tiervdb.errors import CorruptionError
from tiervdb.format.envelope import damaged, deflate, inflate, seal, unseal
from tiervdb.format.manifest_check import problems
from tiervdb.format.manifest_entries import (
    CHAIN_LENGTH,
    MANIFEST_VERSION,
    TIER_MOVES_KEPT,
    CodebookEntry,
    ColumnStats,
    FileRef,
    Flushed,
    Manifest,
    ManifestEdit,
    RowGroup,
    SegmentEntry,
    SnapshotName,
    StatValue,
    TierMoveEntry,
)
from tiervdb.format.wal_header import CHAIN_START

__all__ = [
    "CHAIN_LENGTH",
    "MANIFEST_VERSION",
    "CodebookEntry",
    "ColumnStats",
    "FileRef",
    "Flushed",
    "InvariantError",
    "Manifest",
    "ManifestEdit",
    "RowGroup",
    "SegmentEntry",
    "SnapshotName",
    "StatValue",
    "TierMoveEntry",
    "apply",
    "decode",
    "encode",
    "problems",
]

_MAGIC = b"TVMAN\0"


class InvariantError(CorruptionError, ValueError):
    """An edit would make a manifest that breaks a rule. Nothing was written."""


def first(database_id: str, timeline: str, shard: int, created_us: int) -> Manifest:
    """That of a database in which nothing was committed yet."""
    return Manifest(
        database_id=database_id,
        timeline=timeline,
        shard=shard,
        version=1,
        epoch=0,
        flushed_seq=0,
        flushed_time_us=created_us,
        chain=CHAIN_START,
        next_collection_id=1,
    )


def encode(manifest: Manifest) -> bytes:
    """A manifest as the bytes of its file."""
    raw = msgspec.msgpack.encode(manifest)
    return seal(_MAGIC, MANIFEST_VERSION, deflate(raw))


def decode(data: bytes | memoryview, name: str) -> Manifest:
    """A manifest from the bytes of its file, with every rule checked.

    Raises CorruptionError or NewerFormatError naming ``name``.
    """
    raw = inflate(unseal(data, _MAGIC, MANIFEST_VERSION, name), name)
    try:
        manifest = msgspec.msgpack.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(name, f"it is not a valid manifest ({error})") from error
    if manifest.format_version != MANIFEST_VERSION:
        raise damaged(name, f"it says version {manifest.format_version} inside and {MANIFEST_VERSION} outside")
    for problem in problems(manifest):
        raise damaged(name, problem)
    return manifest


def apply(manifest: Manifest, edit: ManifestEdit) -> Manifest:
    """The next version of a manifest.

    Raises InvariantError if the edit removes or replaces what is not there, adds what is, moves the flushed seq back,
    or leaves a manifest that breaks a rule (say, a segment whose collection or codebook is gone).
    """
    _check_edit(manifest, edit)
    changes: dict[str, object] = {
        "version": manifest.version + 1,
        "segments": _segments(manifest, edit),
        "codebooks": _codebooks(manifest, edit),
    }
    if edit.flushed is not None:
        flushed = edit.flushed
        changes |= {
            "flushed_seq": flushed.seq,
            "flushed_time_us": flushed.time_us,
            "chain": flushed.chain,
            "collections": flushed.collections,
            "snapshots": flushed.snapshots,
            "next_collection_id": flushed.next_collection_id,
        }
    if edit.add_tier_moves:
        changes["tier_moves"] = (*manifest.tier_moves, *edit.add_tier_moves)[-TIER_MOVES_KEPT:]
    if edit.epoch is not None:
        changes["epoch"] = edit.epoch
    after = msgspec.structs.replace(manifest, **changes)
    for problem in problems(after):
        raise _refused(manifest, problem)
    return after


def _refused(manifest: Manifest, problem: str) -> InvariantError:
    return InvariantError(
        f"cannot make version {manifest.version + 1} of the manifest of shard {manifest.shard}: {problem}. "
        "Nothing was changed; run `tiervdb check` and report this"
    )


def _segments(manifest: Manifest, edit: ManifestEdit) -> tuple[SegmentEntry, ...]:
    replaced = {entry.id: entry for entry in edit.replace_segments}
    kept = (replaced.get(s.id, s) for s in manifest.segments if s.id not in edit.remove_segments)
    return (*kept, *edit.add_segments)


def _codebooks(manifest: Manifest, edit: ManifestEdit) -> tuple[CodebookEntry, ...]:
    replaced = {entry.id: entry for entry in edit.replace_codebooks}
    kept = (replaced.get(c.id, c) for c in manifest.codebooks if c.id not in edit.remove_codebooks)
    return (*kept, *edit.add_codebooks)


def _check_edit(manifest: Manifest, edit: ManifestEdit) -> None:
    segments = {s.id for s in manifest.segments}
    codebooks = {c.id for c in manifest.codebooks}
    replaced = {s.id for s in edit.replace_segments}
    for what, missing in (
        ("segments", (edit.remove_segments | replaced) - segments),
        ("codebooks", (edit.remove_codebooks | {c.id for c in edit.replace_codebooks}) - codebooks),
    ):
        if missing:
            raise _refused(manifest, f"it has no {what} {sorted(missing)} to remove or replace")
    if replaced & edit.remove_segments:
        raise _refused(manifest, f"segments {sorted(replaced & edit.remove_segments)} are both removed and replaced")
    # An id is never reused: adding one that is listed is refused even if the same edit removes it.
    taken = segments & {s.id for s in edit.add_segments} | codebooks & {c.id for c in edit.add_codebooks}
    if taken:
        raise _refused(manifest, f"{sorted(taken)} are listed already")
    for new in edit.replace_segments:
        old = manifest.segment(new.id)
        if old is not None and (old.collection, old.rows) != (new.collection, new.rows):
            raise _refused(manifest, f"the replacement of segment {new.id} has other rows or another collection")
    _check_progress(manifest, edit)


def _check_progress(manifest: Manifest, edit: ManifestEdit) -> None:
    if edit.epoch is not None and edit.epoch < manifest.epoch:
        raise _refused(manifest, f"epoch {edit.epoch} is older than {manifest.epoch}")
    flushed = edit.flushed
    if flushed is None:
        return
    if (flushed.seq, flushed.time_us) < (manifest.flushed_seq, manifest.flushed_time_us):
        raise _refused(manifest, f"seq {flushed.seq} is older than {manifest.flushed_seq}")
    if flushed.next_collection_id < manifest.next_collection_id:
        raise _refused(manifest, "collection ids would be reused")
