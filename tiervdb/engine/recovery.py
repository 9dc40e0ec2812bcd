"""Replay: a manifest plus the log after it is the state at any later seq.

Crash recovery, readers beside the writer, views of the past and restores all use this one replay.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiervdb.engine.opener import SegmentOpener
from tiervdb.engine.state import ShardState
from tiervdb.engine.view import Tools
from tiervdb.engine.wal import WalFile, WalPosition
from tiervdb.errors import CorruptionError, OutsideWindowError, TiervdbError
from tiervdb.format.manifest import Manifest
from tiervdb.format.wal_record import CommitRecord


def load(manifest: Manifest, opener: SegmentOpener, tools: Tools) -> ShardState:
    """The state of a manifest, its segments opened."""
    return ShardState(manifest, [opener.open(entry, manifest) for entry in manifest.segments], tools)


def replay(state: ShardState, files: Sequence[WalFile], until: int | None = None) -> WalPosition:
    """Applies the commits after the state's tip, up to ``until`` (None: all). Returns where the log stands then.

    Raises CorruptionError if the log does not fit the manifest, OutsideWindowError if it ends before ``until``.
    """
    start = state.tip.seq
    end = _last_seq(files, start) if until is None else until
    chain = _checked_chain(state.manifest, files)
    for file in files:
        for record in file.commits(state.tip.seq, end):
            _apply(state, record, file)
    if state.tip.seq < end:
        raise OutsideWindowError(f"the log that is held here ends at commit {state.tip.seq}, before commit {end}")
    for file in files:
        if file.first_seq <= state.tip.seq <= file.last_seq:
            chain = file.chain_at(state.tip.seq)
    return WalPosition(state.tip.seq, state.tip.time_us, chain)


def _last_seq(files: Sequence[WalFile], start: int) -> int:
    return max([start, *(file.last_seq for file in files)])


def _apply(state: ShardState, record: CommitRecord, file: WalFile) -> None:
    where = f"commit {record.seq} in {file.name}"
    try:
        state.next_catalog(record.ops)
        counts = state.apply(record.ops, record.seq, record.time_us)
    except TiervdbError as error:
        raise CorruptionError(f"{where} does not fit the state before it: {error}. {_ADVICE}") from error
    if tuple(counts) != record.counts:
        raise CorruptionError(f"{where} did {counts} now and {list(record.counts)} when it was made. {_ADVICE}")


def _checked_chain(manifest: Manifest, files: Sequence[WalFile]) -> bytes:
    """The running hash at the manifest's seq; the log must have the same one there."""
    seq = manifest.flushed_seq
    for file in files:
        if file.scan.header is not None and file.first_seq - 1 <= seq <= file.last_seq:
            if file.chain_at(seq) != manifest.chain:
                raise CorruptionError(
                    f"the log in {file.name} is not the one that the manifest of commit {seq} was made from. {_ADVICE}"
                )
            break
    return manifest.chain


_ADVICE = "Files were mixed up or damaged: run `tiervdb check`, and restore the directory from a clone or a backup"
