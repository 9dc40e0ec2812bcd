"""``tiervdb check``: every checksum and every invariant of a database directory, without changing anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa

from tiervdb.engine import identity as identities
from tiervdb.engine import intents, pins, recovery, wal
from tiervdb.engine.check_logs import check_logs
from tiervdb.engine.check_report import Finding, Progress, Report, attempt
from tiervdb.engine.check_segments import SegmentKey, check_segments
from tiervdb.engine.gc import references_of
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.engine.opener import SegmentOpener
from tiervdb.engine.source import Source
from tiervdb.engine.view import Tools, View
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Identity, Pin
from tiervdb.format.manifest import FileRef, Manifest
from tiervdb.segment.cold_means import cold_means
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.types import CollectionSchema, Rows

__all__ = ["Finding", "Progress", "Report", "check"]

_READ_BYTES = 8 << 20
_ROWS = 16_384


def check(local: LocalDir, shard: int, store: ObjectStore, tools: Tools, progress: Progress = lambda _: None) -> Report:
    """Checks one shard. Never raises for damage: every problem becomes a finding."""
    report = Report()
    manifests = ManifestStore(local, shard)
    current = attempt(report, paths.MANIFEST_DIR, manifests.current)
    identity = attempt(report, paths.IDENTITY, lambda: identities.read(local))
    if identity is None or current is None:
        return report
    progress("files")
    seen: set[str] = set()
    seen_segments: set[SegmentKey] = set()
    held = list(_held_manifests(report, local, shard, manifests, current))
    for manifest in held:
        _check_references(report, local, store, manifest, seen)
    progress("log")
    check_logs(report, local, shard, identity, held)
    view = attempt(report, paths.WAL_DIR, lambda: _replayed(local, shard, current, store, tools))
    _check_pinned_logs(report, local, shard, manifests)
    progress("rows")
    if view is not None:
        for schema in view.catalog.collections.values():
            attempt(report, f"collection {schema.name}", partial(_check_rows, report, view, schema))
    progress("segments")
    for manifest in held:
        check_segments(report, manifest, SegmentOpener(local, cold_means(local, store)), seen_segments)
    _check_borrowed(report, identity, store)
    _check_leftovers(report, local, seen)
    return report


def _held_manifests(
    report: Report, local: LocalDir, shard: int, manifests: ManifestStore, current: Manifest
) -> Iterator[Manifest]:
    """The current manifest and those that pins hold."""
    yield current
    for pin in _pins(report, local, shard):
        if pin.manifest_version != current.version:
            held = attempt(report, f"pin {pin.id}", partial(manifests.read, pin.manifest_version))
            if held is not None:
                yield held


def _pins(report: Report, local: LocalDir, shard: int) -> list[Pin]:
    """Those that are held. A reader's pin may come back with a power loss after its manifest has gone."""
    listed = attempt(report, paths.PIN_DIR, lambda: pins.listed(local, shard)) or []
    return [p for p in listed if p.kind != "reader" or local.is_locked(paths.PinName(p.id).name)]


def _check_references(report: Report, local: LocalDir, store: ObjectStore, manifest: Manifest, seen: set[str]) -> None:
    for reference in references_of(manifest):
        if reference.name in seen:
            continue
        seen.add(reference.name)
        is_object = paths.parse_local(reference.name) is None
        pieces = _object_pieces(store, reference) if is_object else _file_pieces(local, reference)
        where = f"{store.url}/{reference.name}" if is_object else reference.name
        attempt(report, where, partial(_check_bytes, report, reference, pieces))


def _check_bytes(report: Report, reference: FileRef, pieces: Iterator[bytes | memoryview]) -> bool:
    sha256, size = hashlib.sha256(), 0
    for piece in pieces:
        sha256.update(piece)
        size += len(piece)
    report.files += 1
    report.bytes += size
    if size != reference.size:
        raise CorruptionError(f"it has {size} bytes instead of {reference.size}")
    if sha256.hexdigest() != reference.sha256:
        raise CorruptionError("its checksum is not the one in the manifest: bytes were changed")
    return True


def _file_pieces(local: LocalDir, reference: FileRef) -> Iterator[memoryview]:
    yield local.map(reference.name)


def _object_pieces(store: ObjectStore, reference: FileRef) -> Iterator[bytes]:
    size = store.stat(reference.name).size
    if size != reference.size:
        raise CorruptionError(f"it has {size} bytes instead of {reference.size}")
    for start in range(0, size, _READ_BYTES):
        yield store.get_ranges(reference.name, [ByteRange(start, min(_READ_BYTES, size - start))])[0]


def _replayed(local: LocalDir, shard: int, manifest: Manifest, store: ObjectStore, tools: Tools) -> View:
    state = recovery.load(manifest, SegmentOpener(local, cold_means(local, store)), tools)
    published = int(local.shared_words(paths.PublishedName(shard).name, 2)[wal.FSYNCED])
    recovery.replay(state, wal.read_after(local, shard, manifest.flushed_seq, published))
    return state.view(state.tip)


def _check_pinned_logs(report: Report, local: LocalDir, shard: int, manifests: ManifestStore) -> None:
    for pin in _pins(report, local, shard):
        held = attempt(report, f"pin {pin.id}", partial(manifests.read, pin.manifest_version))
        if held is None or pin.seq <= held.flushed_seq:
            continue
        where = f"pin {pin.id}"
        files = attempt(report, where, partial(wal.read_after, local, shard, held.flushed_seq, 0, pin.seq))
        if files is not None and max([0, *(f.last_seq for f in files)]) < pin.seq:
            report.error(where, f"the log that it keeps ends before commit {pin.seq}")


def _check_rows(report: Report, view: View, schema: CollectionSchema) -> None:
    """Ids are found where they are, no id lives twice, vectors are finite, and the count is right."""
    seen, live = [], 0
    for source in view.sources(schema):
        ids, mask = source.ids(), source.live()
        rows = np.arange(source.rows) if mask is None else np.flatnonzero(mask)
        live += len(rows)
        alive = ids.take(pa.array(rows))
        seen.append(alive)
        if not np.array_equal(source.lookup(alive), rows):
            report.error(f"segment {source.key}", "its id index does not find its ids")
        for start in range(0, len(rows), _ROWS):
            _check_vectors(report, source, rows[start : start + _ROWS])
    every = pa.chunked_array(seen) if seen else pa.chunked_array([], pa.int64())
    if len(pa.compute.unique(every)) != len(every):
        report.error(f"collection {schema.name}", "an id is alive twice", "report this; restore a state before it")
    if live != view.count(schema):
        report.error(f"collection {schema.name}", f"{live} rows are alive and {view.count(schema)} are counted")


def _check_vectors(report: Report, source: Source, rows: Rows) -> None:
    if not np.isfinite(source.vectors(rows)).all():
        report.error(f"segment {source.key}", "it holds vectors that are not finite")


def _check_borrowed(report: Report, identity: Identity, store: ObjectStore) -> None:
    """The pins on objects of others: without them their owners may delete what this database needs."""
    for borrowed in identity.borrowed:
        key = paths.ColdPinKey(borrowed.database_id, borrowed.pin).key
        where = f"{store.url}/{key}"
        pin = attempt(report, where, partial(_pin, store, key))
        if pin is not None and pin.state == "making":
            advice = "nothing to do: opening this database for writing mends it"
            report.findings.append(Finding("info", where, "it says that this clone is not complete", advice))


def _pin(store: ObjectStore, key: str) -> Pin:
    try:
        return documents.decode_pin(store.get(key), f"{store.url}/{key}")
    except ObjectNotFoundError as error:
        raise CorruptionError(
            "this pin was released: the database that owns the objects may delete them. Promote all collections now, "
            "or clone that database again"
        ) from error


def _check_leftovers(report: Report, local: LocalDir, referenced: set[str]) -> None:
    """Files that nobody names: harmless, and collected by the next maintenance."""
    attempt(report, paths.INTENT_DIR, lambda: intents.listed(local))
    for name in (*local.list(paths.SEGMENT_DIR), *local.list(paths.CODEBOOK_DIR)):
        if name not in referenced:
            advice = "nothing to do: maintenance deletes it" if paths.parse_local(name) else "remove it, if you know it"
            report.findings.append(Finding("info", name, "no manifest names it", advice))
