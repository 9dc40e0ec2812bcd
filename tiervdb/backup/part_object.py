"""A part of the archived log as it is stored: its head, and its records compressed; sealed where the repository is."""

from __future__ import annotations

from tiervdb.backup.vault import Vault
from tiervdb.format import documents as local_documents
from tiervdb.format import frames, wal_part
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.frames import Checksum, FrameReader
from tiervdb.format.repository_documents import PartHeader


def encode(vault: Vault, part: PartHeader, records: bytes = b"") -> bytes:
    """The object's bytes. Fences and gaps have no body."""
    head = vault.seal(f"{part.key}#head", local_documents.encode(part))
    return wal_part.join(head, packed(vault, part.key, records) if part.kind == "records" else b"")


def packed(vault: Vault, key: str, records: bytes) -> bytes:
    """Records as the body of a part: one frame sequence, compressed, then sealed where the repository is."""
    return vault.seal(f"{key}#body", frames.encode(records, "zstd", Checksum()))


def unpacked(vault: Vault, key: str, sealed: memoryview, part: PartHeader) -> bytes:
    """What ``packed`` packed."""
    data = vault.unseal(f"{key}#body", bytes(sealed))
    reader = FrameReader(part.length, len(data), "zstd", Checksum(), f"{vault.url}/{key}")
    return b"".join(reader.decode_all(data))


def head(vault: Vault, key: str, sealed: bytes) -> PartHeader:
    """The head of a part, or of a merged one. CorruptionError names the object."""
    plain, name = vault.unseal(f"{key}#head", sealed), f"{vault.url}/{key}"
    if isinstance(paths.parse(key), paths.MergedKey):
        return documents.decode_merged_header(plain, name)
    return documents.decode_part_header(plain, name)
