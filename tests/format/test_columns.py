from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest

from tests.format.values import WORDS
from tiervdb.errors import SchemaError
from tiervdb.format import columns
from tiervdb.types import Column


@pytest.mark.parametrize("name", columns.COLUMN_TYPES)
def test_every_type_has_one_arrow_type(name: str) -> None:
    assert columns.type_name(columns.arrow_type(name)) == name
    assert columns.canonical_type(name) == name


@pytest.mark.parametrize(("alias", "name"), columns.TYPE_ALIASES.items())
def test_aliases_are_made_canonical(alias: str, name: str) -> None:
    assert columns.canonical_type(alias) == name
    assert columns.arrow_type(alias) == columns.COLUMN_TYPES[name]


@pytest.mark.parametrize(
    ("arrow", "name"),
    [
        (pa.large_string(), "string"),
        (pa.string_view(), "string"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
        (pa.timestamp("ns"), "timestamp[us]"),
        (pa.timestamp("s", tz="Europe/Berlin"), "timestamp[us, UTC]"),
        (pa.float16(), "float32"),
        (pa.large_list(pa.large_string()), "list<string>"),
    ],
)
def test_wider_arrow_types_find_their_column_type(arrow: pa.DataType, name: str) -> None:
    assert columns.type_name(arrow) == name


@pytest.mark.parametrize("arrow", [pa.list_(pa.int64()), pa.binary(), pa.struct([]), pa.date32(), pa.null()])
def test_other_arrow_types_are_refused(arrow: pa.DataType) -> None:
    with pytest.raises(SchemaError, match="no column type holds"):
        columns.type_name(arrow)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SchemaError, match="unknown column type 'number'; known are bool"):
        columns.arrow_type("number")


def test_id_types() -> None:
    assert [columns.id_arrow_type("int64"), columns.id_arrow_type("string")] == [pa.int64(), pa.string()]


def test_a_good_schema_passes() -> None:
    columns.check_schema(WORDS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"dim": 0},
        {"dim": 65_536},
        {"metric": "hamming"},
        {"id_type": "uuid"},
        {"next_column_id": 4},
        {"columns": (Column(id=1, name="vector", type="int64"),)},
        {"columns": (Column(id=1, name="", type="int64"),)},
        {"columns": (Column(id=1, name="a", type="int"),)},
        {"columns": (Column(id=0, name="a", type="int64"),)},
        {"columns": (Column(id=1, name="a", type="int64"), Column(id=1, name="b", type="int64"))},
        {"columns": (Column(id=1, name="a", type="int64"), Column(id=2, name="a", type="int64"))},
    ],
)
def test_a_contradictory_schema_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SchemaError, match="collection"):
        columns.check_schema(msgspec.structs.replace(WORDS, **change))
