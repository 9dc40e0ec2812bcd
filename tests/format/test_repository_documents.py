from __future__ import annotations

import json

import msgspec
import pytest

from tests.format.damage import assert_notices
from tests.format.repository_values import BACKUP, FILE, REPOSITORY_DECODERS, REPOSITORY_DOCUMENTS, SHARD
from tests.format.test_documents import signed
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format import documents
from tiervdb.format import repository_documents as formats

KINDS = tuple(REPOSITORY_DOCUMENTS)


@pytest.mark.parametrize("kind", KINDS)
def test_documents_read_back(kind: str) -> None:
    data = documents.encode(REPOSITORY_DOCUMENTS[kind])
    assert REPOSITORY_DECODERS[kind](data, "the file") == REPOSITORY_DOCUMENTS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_is_noticed(kind: str) -> None:
    document, decode = REPOSITORY_DOCUMENTS[kind], REPOSITORY_DECODERS[kind]
    assert_notices(documents.encode(document), lambda form: decode(form, "the file"), lambda found: found == document)


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_document_says_so(kind: str) -> None:
    fields = json.loads(documents.encode(REPOSITORY_DOCUMENTS[kind]))
    del fields["crc32c"]
    with pytest.raises(NewerFormatError, match="format version 2"):
        REPOSITORY_DECODERS[kind](signed({**fields, "format_version": 2}), "the file")


@pytest.mark.parametrize(
    "wrong",
    [
        msgspec.structs.replace(BACKUP, id="../x"),
        msgspec.structs.replace(BACKUP, shards=()),
        msgspec.structs.replace(BACKUP, shards=(SHARD, SHARD)),
        msgspec.structs.replace(BACKUP, shards=(msgspec.structs.replace(SHARD, flushed_seq=8),)),
        msgspec.structs.replace(BACKUP, shards=(msgspec.structs.replace(SHARD, files=(FILE, FILE)),)),
        *(
            msgspec.structs.replace(BACKUP, shards=(msgspec.structs.replace(SHARD, files=(file,)),))
            for file in (
                msgspec.structs.replace(FILE, sha256="ab"),
                msgspec.structs.replace(FILE, sha256="zz" * 32),
                msgspec.structs.replace(FILE, size=99),
                msgspec.structs.replace(FILE, object=None),
                msgspec.structs.replace(FILE, object=msgspec.structs.replace(FILE.object, key="data/../../etc/passwd")),
            )
        ),
    ],
)
def test_a_backup_that_makes_no_sense_is_refused(wrong: formats.BackupDocument) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        formats.decode_backup(documents.encode(wrong), "the file")


def test_a_file_that_leads_out_is_refused() -> None:
    away = msgspec.structs.replace(
        REPOSITORY_DOCUMENTS["hydration"], files=(msgspec.structs.replace(FILE, name="../../etc/passwd"),)
    )
    with pytest.raises(CorruptionError, match="etc/passwd"):
        formats.decode_hydration(documents.encode(away), "the file")
