"""Puts objects into the cold store: written down before, read back after; nothing relies on one that was not seen."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec

from tiervdb.engine import intents
from tiervdb.engine.core import ShardCore
from tiervdb.engine.sketching import Coding
from tiervdb.errors import CorruptionError
from tiervdb.format.manifest import CodebookEntry, FileRef
from tiervdb.segment.cold_local import ColdFiles
from tiervdb.storage.object_store import ByteRange

_READ_BACK_BYTES = 8 << 20


def upload_segment(core: ShardCore, written: ColdFiles) -> dict[str, FileRef]:
    """Uploads the files of a cold segment; the objects by role. The sketch stays as a local copy if there is room."""
    cold = core.env.cold
    objects = {f.role: FileRef(name=cold.new_key(f.role), size=f.size, sha256=f.sha256) for f in written.files}
    _note(core, [reference.name for reference in objects.values()])
    for file in written.files:
        cold.store.put_file(objects[file.role].name, file.path)
        _read_back(core, objects[file.role])
    core.env.opener.cold.copies.keep(written.sketch.staged, written.sketch.size)
    return objects


def upload_codebook(core: ShardCore, coding: Coding) -> Coding:
    """The coding with its codebook in the cold store too: a process that lacks the local file finds it there."""
    entry = coding.new or _listed(core, coding)
    if entry is None or entry.object is not None:
        return coding
    key = core.env.cold.new_key("codebook")
    _note(core, [key])
    reference = FileRef(name=key, size=entry.file.size, sha256=entry.file.sha256)
    core.env.cold.store.put_file(key, core.env.local.complete(entry.file.name))
    _read_back(core, reference)
    stored = msgspec.structs.replace(entry, object=reference)
    return replace(coding, new=stored) if coding.new is not None else replace(coding, stored=stored)


def _listed(core: ShardCore, coding: Coding) -> CodebookEntry | None:
    return None if coding.codebook is None else core.state.manifest.codebook(coding.codebook.id)


def _note(core: ShardCore, keys: list[str]) -> None:
    env = core.env
    intent = intents.record(env.local, env.shard, keys, env.cold.epoch(), env.clock, env.rng, "upload")
    core.building.add(intent.id)


def _read_back(core: ShardCore, reference: FileRef) -> None:
    store = core.env.cold.store
    size = store.stat(reference.name).size
    sha256 = hashlib.sha256()
    for start in range(0, reference.size if size == reference.size else 0, _READ_BACK_BYTES):
        wanted = ByteRange(start, min(_READ_BACK_BYTES, reference.size - start))
        sha256.update(store.get_ranges(reference.name, [wanted])[0])
    if sha256.hexdigest() != reference.sha256:
        raise CorruptionError(
            f"{store.url} does not hold what was uploaded as {reference.name} ({size} of {reference.size} bytes): "
            "nothing was moved. Try again; if it happens again, do not trust this store"
        )
