from __future__ import annotations

import json

import crc32c
import msgspec
import pytest

from tests.format.damage import assert_notices
from tests.format.values import DECODERS, DOCUMENTS, an_id
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format import documents

KINDS = tuple(DOCUMENTS)


def signed(fields: object) -> bytes:
    check = f"{crc32c.crc32c(msgspec.json.encode(fields, order='deterministic')):08x}"
    return msgspec.json.encode({**fields, "crc32c": check} if isinstance(fields, dict) else fields)


def fields_of(kind: str) -> dict[str, object]:
    fields = json.loads(documents.encode(DOCUMENTS[kind]))
    del fields["crc32c"]
    return fields


@pytest.mark.parametrize("kind", KINDS)
def test_documents_read_back(kind: str) -> None:
    data = documents.encode(DOCUMENTS[kind])
    assert DECODERS[kind](data, "the file") == DOCUMENTS[kind]
    assert json.loads(data)["format_version"] == 1
    assert data.endswith(b"}\n")


@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_is_noticed(kind: str) -> None:
    data = documents.encode(DOCUMENTS[kind])
    assert_notices(data, lambda form: DECODERS[kind](form, "the file"), lambda found: found == DOCUMENTS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_document_says_so(kind: str) -> None:
    data = signed({**fields_of(kind), "format_version": 2, "unheard": {"of": 1}})
    with pytest.raises(NewerFormatError, match="cannot read the file: it has format version 2"):
        DECODERS[kind](data, "the file")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [{"unheard": 1}, {"timeline": 5, "kind": 5}, {"id": "../x", "database_id": "../x"}])
def test_nonsense_with_a_right_checksum_is_refused(kind: str, change: dict[str, object]) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        DECODERS[kind](signed({**fields_of(kind), **change}), "the file")


@pytest.mark.parametrize("data", [b"", b"[]", b"5", b"{}", b"\xff", b'{"crc32c": 5}', b"[" * 100_000])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        documents.decode_pin(data, "the file")


def test_an_identity_has_shards() -> None:
    with pytest.raises(CorruptionError, match="0 shards"):
        documents.decode_identity(signed({**fields_of("identity"), "shards": 0}), "the file")


def test_one_kind_is_not_read_as_another() -> None:
    with pytest.raises(CorruptionError, match="not a valid pin"):
        documents.decode_pin(documents.encode(DOCUMENTS["intent"]), "the file")


def test_every_id_is_checked() -> None:
    fields = fields_of("pin")
    for change in ({"id": an_id(1) + "\n"}, {"timeline": ""}, {"holder": "x"}):
        with pytest.raises(CorruptionError, match="is not an id"):
            documents.decode_pin(signed({**fields, **change}), "the file")
