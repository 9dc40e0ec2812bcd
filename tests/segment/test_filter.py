"""What filters can say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.segment.filter_values import TABLE, WORDS, matches
from tiervdb.errors import FilterError
from tiervdb.format.columns import COLUMN_TYPES
from tiervdb.segment.filter import compile_filter
from tiervdb.segment.filter_functions import FUNCTIONS
from tiervdb.types import CollectionSchema, Column

EARLY = datetime(2020, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("where", "params", "rows"),
    [
        ("rank < ? and pos = ?", [5, "NOUN"], [0]),
        ("rank = 1 or rank = 3", [], [0, 2]),
        ("not rank = 1", [], [1, 2]),
        ("rank between 2 and 3", [], [1, 2]),
        ("rank not between 2 and 3", [], [0]),
        ("rank in (1, 3)", [], [0, 2]),
        ("rank not in (1, 3)", [], [1]),
        ("rank in ?", [[1, 3]], [0, 2]),
        ("list_contains(?, rank)", [np.array([2, 3])], [1, 2]),
        ("rank is null", [], [3]),
        ("rank is not null", [], [0, 1, 2]),
        ("rank is distinct from 1", [], [1, 2, 3]),
        ("rank = null", [], []),
        ("rank = ?", [None], []),
        ("null", [], []),
        ("true", [], [0, 1, 2, 3]),
        ("?", [False], []),
        ("pos like 'N%'", [], [0]),
        ("pos not like 'N%'", [], [1, 3]),
        ("pos ilike ?", ["n%"], [0, 3]),
        ("pos like '100!%' escape '!'", [], []),
        ("lower(pos) = 'noun'", [], [0, 3]),
        ("pos collate nocase = 'Noun'", [], [0, 3]),
        ("upper(trim(pos)) in ('VERB')", [], [1]),
        ("length(pos) = 4 and starts_with(pos, 'n')", [], [3]),
        ("pos ~ '[A-Z]+'", [], [0, 1]),
        ("regexp_matches(pos, '^no')", [], [3]),
        ("pos || '!' = 'VERB!'", [], [1]),
        ("coalesce(rank, 9) > 2", [], [2, 3]),
        ("case when rank = 1 then true when rank = 2 then false else rank is null end", [], [0, 3]),
        ("if(rank > 1, pos = 'VERB', false)", [], [1]),
        ("greatest(rank, 2) = 2", [], [0, 1, 3]),
        ("list_contains(tags, ?)", ["b"], [0, 3]),
        ("'a' in tags", [], [0]),
        ("tags && ['a', 'x']", [], [0]),
        ("tags && ?", [["b"]], [0, 3]),
        ("tags @> ['a', 'b']", [], [0]),
        ("len(tags) = 0", [], [1]),
        ("tags[1] = 'b'", [], [3]),
        ("tags = []", [], [1]),
        ("seen > ?", [EARLY], [1, 3]),
        ("seen > ?", [EARLY.astimezone(timezone(timedelta(hours=-5)))], [1, 3]),
        ("seen > ?", [pd.Timestamp(EARLY)], [1, 3]),
        ("seen >= '2021-06-01'", [], [1, 3]),
        ("seen = timestamptz '2020-01-01 00:00:00+00'", [], [0]),
        ("seen::date = ?", [date(2021, 6, 1)], [1]),
        ("extract(year from seen) = 2022", [], [3]),
        ("date_trunc('month', seen) = '2021-06-01'", [], [1]),
        ("seen - interval 1 day < '2020-01-01'", [], [0]),
        ("seen between '2021-01-01' and '2021-12-31'", [], [1]),
        ('"odd ""name""" < 0', [], [3]),
        ('isnan("odd ""name""")', [], [1]),
        ("RANK = 1", [], [0]),
        ('"Case" and "CASE" > 1', [], [3]),
        ("größe = 18446744073709551615", [], [1]),
        ("größe = ?", [2**64 - 1], [1]),
        ("id >= 'b'", [], [2, 3]),
        ("id = 'Bär'", [], [1]),
        ("rank / 2 = 0.5", [], [0]),
        ("rank % 2 = 1", [], [0, 2]),
        ("-rank < -2", [], [2]),
        ("abs(rank * 9223372036854775807) > 5", [], "fails"),
        ("rank // 0 = 1", [], "fails"),
        ("try(rank // 0) is null", [], [0, 1, 2, 3]),
        ("rank / 0 > 1", [], [0, 1, 2]),
        ("pos::int = 1", [], "fails"),
        ("try_cast(pos as int) is null", [], [0, 1, 2, 3]),
        ("rank = 'abc'", [], "fails"),
        ("rank = ?", ["abc"], "fails"),
        ("rank = ?", [np.int8(1)], [0]),
        ("$2 = pos and $1 = rank", [1, "NOUN"], [0]),
        ("rank = ? or CASE = ?", [1, 2], "fails"),
        ("  rank\t=\r\n1 ", [], [0]),
    ],
)
def test_expressions(where: str, params: list[Any], rows: list[int] | str) -> None:
    if rows == "fails":
        with pytest.raises(FilterError):
            matches(where, *params)
    else:
        assert matches(where, *params) == rows


@pytest.mark.parametrize("kind", COLUMN_TYPES)
def test_every_column_type(kind: str) -> None:
    schema = CollectionSchema(
        id=1, name="c", dim=1, metric="l2", id_type="int64", columns=(Column(id=1, name="x", type=kind),)
    )
    table = pa.table({"id": [7, 8], "x": pa.nulls(2, COLUMN_TYPES[kind])})
    assert matches("x is null and id = 8", schema=schema, table=table) == [1]
    assert matches("x = x", schema=schema, table=table) == []


def test_time_parameters_need_a_zone_unless_a_column_has_none() -> None:
    naive = datetime(2020, 6, 1)
    with pytest.raises(FilterError, match="without a zone"):
        matches("seen > ?", naive)
    local = CollectionSchema(
        id=1, name="c", dim=1, metric="l2", id_type="int64", columns=(Column(id=1, name="t", type="timestamp[us]"),)
    )
    table = pa.table({"id": [1, 2], "t": pa.array([naive, None], pa.timestamp("us"))})
    assert matches("t = ?", naive, schema=local, table=table) == [0]
    assert matches("t = ?", np.datetime64(naive), schema=local, table=table) == [0]


@pytest.mark.parametrize(
    ("where", "params", "message"),
    [
        ("rnk = 1", [], "did you mean 'rank'"),
        ('pos = "NOUN"', [], "single quotes"),
        ("body = 'x'", [], "stored="),
        ("case = 1", [], "not an SQL expression"),
        ('"case" = 1', [], "can be any of"),
        ("rank", [], "gives a BIGINT"),
        ("rank + 1", [], "gives a BIGINT"),
        ("'true'", [], "gives a VARCHAR"),
        ("rank < ?", [], "1 parameters"),
        ("rank < 1", [3], "0 parameters"),
        ("rank < $2", [1, 2], "numbered from 1"),
        ("rank < $a", [1], "character that no expression needs"),
        ("id > 5", [], "Cannot compare values of type VARCHAR"),
        ("lowr(pos) = 'a'", [], "did you mean 'lower'"),
        ("rank = = 1", [], "syntax error"),
        ("order = 1", [], "double quotes"),
        ("", [], "empty"),
        (" \n ", [], "empty"),
        ("rank, rank", [], "commas between"),
        ("rank = ?", [object()], "is a object"),
        ("rank = ?", [2**64], "beyond 64 bits"),
        ("pos = ?", ["\ud800"], "UTF-8"),
        ("pos = ?", [b"x"], "is a bytes"),
        ("rank in ?", [[[1]]], "is a list"),
        ("rank in ?", [np.zeros((2, 2))], "2 dimensions"),
    ],
)
def test_mistakes_are_explained(where: str, params: list[Any], message: str) -> None:
    with pytest.raises(FilterError, match=message):
        compile_filter(where, params, WORDS)


def test_errors_at_run_time_name_the_users_columns() -> None:
    with pytest.raises(FilterError, match=r"rank // 0"):
        matches("rank // 0 = 1")


def test_keys_tell_filters_apart() -> None:
    def key(where: str, *params: Any) -> bytes:
        return compile_filter(where, params, WORDS).key

    assert key("rank = ?", 1) == key(" RANK  = ? ", 1) == key("rank=?", np.int64(1))
    different = [key("rank = ?", p) for p in (1, True, 1.0, "1", None, 2)]
    assert len(set(different)) == len(different)
    assert key('"Case"') != key('"CASE" = 1')


def test_a_column_of_the_same_name_makes_another_filter() -> None:
    def with_rank(number: int) -> CollectionSchema:
        column = Column(id=number, name="rank", type="int64")
        return CollectionSchema(id=1, name="c", dim=1, metric="l2", id_type="int64", columns=(column,))

    assert compile_filter("rank = 1", [], with_rank(1)).key != compile_filter("rank = 1", [], with_rank(2)).key


def test_what_a_filter_uses() -> None:
    where = compile_filter("id = 'a' and rank = 1 or pos = ?", ["x"], WORDS)
    assert [c.name for c in where.columns] == ["rank", "pos"]
    assert where.uses_id
    assert not compile_filter("rank = 1", [], WORDS).uses_id


def test_functions_on_the_list_exist_and_have_no_side_effects() -> None:
    """Of the functions DuckDB knows by these names. What its parser makes of syntax has no function of its own."""
    found = duckdb.execute(
        "SELECT function_name, function_type, stability, parameter_types FROM duckdb_functions() "
        "WHERE function_type NOT IN ('pragma', 'aggregate')"
    ).fetchall()
    kinds: dict[str, set[tuple[str, str | None]]] = {}
    for name, kind, stability, takes in found:
        kinds.setdefault(name, set()).add(
            (kind, "CONSISTENT" if _reads_time_zone(name, stability, takes) else stability)
        )
    syntax = {"coalesce", "ifnull"}
    for name in FUNCTIONS - syntax:
        assert kinds.get(name), name
        assert kinds[name] <= {("scalar", "CONSISTENT"), ("macro", None), ("window", "CONSISTENT")}, (name, kinds[name])


def _reads_time_zone(name: str, stability: str | None, takes: list[str | None]) -> bool:
    """Some builds of DuckDB have ICU, whose answers hang on the setting TimeZone: filters have theirs locked at UTC."""
    zoned = any(one and ("TIMESTAMP WITH TIME ZONE" in one or "TIMESTAMPTZ" in one) for one in takes)
    return stability == "CONSISTENT_WITHIN_QUERY" and (zoned or name in {"timezone", "make_timestamptz"})


ATOMS = ["rank = 1", "rank > 1", "pos = 'NOUN'", "rank is null", "id > 'b'", "tags is null", "null", "true"]
TREES = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or", "=", "is distinct from"]), inner).map(
            lambda p: f"({p[0]}) {p[1]} ({p[2]})"
        ),
        inner.map(lambda e: f"not ({e})"),
        inner.map(lambda e: f"coalesce({e}, false)"),
        inner.map(lambda e: f"({e}) is null"),
        st.tuples(inner, inner).map(lambda p: f"case when {p[0]} then {p[1]} end"),
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_the_answer_is_that_of_plain_duckdb(where: str) -> None:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("words", TABLE.append_column("row", pa.array(range(len(TABLE)))))
        expected = connection.execute(f"SELECT row FROM words WHERE {where} ORDER BY row").fetchall()
    assert matches(where) == [row for (row,) in expected]
