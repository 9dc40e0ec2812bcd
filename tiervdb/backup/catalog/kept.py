"""What is known, as pieces that are kept in the repository, so that another process need not read every document again.

A piece holds entries in the order of reading, is named by the SHA-256 of its bytes, and never changes. Whatever is
wrong with one only means that documents are read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from tiervdb.backup.catalog.known import Document, Entry, FileRow, Known, Listing
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError
from tiervdb.format import envelope
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_operations as operations
from tiervdb.format import repository_paths as paths

PIECE_VERSION = 1
PIECE_ENTRIES = 512
_MAGIC = b"TVCATA"
_BACKUP: Any = documents.BackupDocument | documents.Tombstone
_OPERATION: Any = operations.Operation
_DECODERS: dict[type, msgspec.msgpack.Decoder[Any]] = {
    paths.BackupKey: msgspec.msgpack.Decoder(_BACKUP),
    paths.ExpirationKey: msgspec.msgpack.Decoder(documents.Expiration),
    paths.TimelineKey: msgspec.msgpack.Decoder(documents.TimelineDocument),
    paths.RepositoryEpochKey: msgspec.msgpack.Decoder(documents.RepositoryEpoch),
    paths.OperationKey: msgspec.msgpack.Decoder(_OPERATION),
    paths.PartKey: msgspec.msgpack.Decoder(documents.PartHeader),
    paths.MergedKey: msgspec.msgpack.Decoder(documents.MergedHeader),
}


class _KeptEntry(msgspec.Struct, frozen=True, array_like=True):
    key: str
    document: msgspec.Raw
    files: tuple[FileRow, ...]
    listing: bytes | None


def pieces(known: Known) -> list[tuple[str, bytes]]:
    """Keys and bytes of all pieces, in order."""
    entries = list(known.entries.values())
    found = []
    for start in range(0, len(entries), PIECE_ENTRIES):
        data = msgspec.msgpack.encode([_kept(entry) for entry in entries[start : start + PIECE_ENTRIES]])
        found.append((paths.CatalogStateKey(hashlib.sha256(data).hexdigest()).key, data))
    return found


def stored(data: bytes) -> bytes:
    """A piece's bytes as they are kept."""
    return envelope.seal(_MAGIC, PIECE_VERSION, envelope.deflate(data))


def load(vault: Vault, keys: Sequence[str]) -> Known:
    """What pieces hold, in order. Raises CorruptionError, StorageError: then the documents say it all again."""
    known = Known()
    for key in keys:
        for entry in _entries(vault, key):
            known.restore(entry)
    return known


def _entries(vault: Vault, key: str) -> list[Entry]:
    name = f"{vault.url}/{key}"
    sealed = envelope.unseal(vault.unseal(key, vault.store.get(key)), _MAGIC, PIECE_VERSION, name)
    data = envelope.inflate(sealed, name)
    if paths.CatalogStateKey(hashlib.sha256(data).hexdigest()).key != key:
        raise CorruptionError(f"{name} does not hold what its name says; it is made anew")
    try:
        kept = msgspec.msgpack.decode(data, type=list[_KeptEntry])
        return [Entry(one.key, _document(one), one.files, _listing(one.listing)) for one in kept]
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptionError(f"{name} is no piece of a catalog: {error}") from error


def _kept(entry: Entry) -> _KeptEntry:
    document = msgspec.Raw(msgspec.msgpack.encode(entry.document))
    listing = None if entry.listing is None else np.diff(entry.listing, prepend=np.int32(0)).tobytes()
    return _KeptEntry(entry.key, document, entry.files, listing)


def _document(kept: _KeptEntry) -> Document:
    document: Document = _DECODERS[type(paths.parse(kept.key))].decode(kept.document)
    return document


def _listing(kept: bytes | None) -> Listing | None:
    return None if kept is None else np.cumsum(np.frombuffer(kept, np.int32), dtype=np.int32)
